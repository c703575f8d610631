"""One device as JSON: every fact, the names, and the verdict."""

from __future__ import annotations

from vfioctl.lean import lru_cache
from vfioctl.model.device import PhysicalFunction
from vfioctl.model.json_text import encode, quoted
from vfioctl.model.verdict import reasons_against
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import Header, MdevType, PciDevice, VirtualFunction
    from vfioctl.model.host import Host
    from vfioctl.model.verdict import Reason
    from vfioctl.render.document import Document
    from vfioctl.sysfs.names import Names

# Devices share most of what is said of them: each part is encoded once, and a text put together of few.
# Building thousands of dictionaries and encoding them would take five times as long.
_shared = lru_cache(maxsize=1024)


def device_texts(host: Host, devices: Iterable[PciDevice], names: Names) -> Iterator[str]:
    """Encode devices of a host, one after the other, each as one line of JSON."""
    identities: dict[tuple[int | None, ...], str] = {}
    for device in devices:
        key = (
            device.vendor_id,
            device.device_id,
            device.subsystem_vendor_id,
            device.subsystem_device_id,
            device.class_code,
            device.revision,
        )
        identity = identities.get(key)
        if identity is None:
            identity = identities[key] = _identity(device, names)
        yield f'{{"address": "{device.address}", {identity}, {_facts(host, device)}}}'


def device_document(host: Host, device: PciDevice, names: Names) -> Document:
    """Describe one device."""
    from json import loads

    described: Document = loads(next(device_texts(host, (device,), names)))
    return described


def _identity(device: PciDevice, names: Names) -> str:
    """Encode the numbers that say what a device is, and their names."""
    return _members(
        vendor_id=f"{device.vendor_id:04x}",
        device_id=f"{device.device_id:04x}",
        subsystem_vendor_id=_hex(device.subsystem_vendor_id, 4),
        subsystem_device_id=_hex(device.subsystem_device_id, 4),
        class_code=f"{device.class_code:06x}",
        revision=_hex(device.revision, 2),
        vendor_name=names.vendor(device.vendor_id),
        device_name=names.device(device.vendor_id, device.device_id),
        class_name=names.class_name(device.class_code),
    )


def _facts(host: Host, device: PciDevice) -> str:
    group, sriov = device.iommu_group, device.sriov
    state = (
        device.reset_methods,
        device.power_state,
        device.boot_vga,
        device.physical_slot,
        device.mdev_types,
    )
    nodes = (
        device.net_interfaces,
        device.block_devices,
        device.vfio_group_node,
        device.vfio_cdev,
        device.alive,
    )
    return (
        f"{_driven(device.driver, device.driver_override)}, "
        f'"iommu_group": {"null" if group is None else group}, '
        f"{_place(device.numa_node, device.header, device.parent)}, "
        f'"sriov": {encode(_sriov(sriov)) if sriov else "null"}, '
        f"{_state(state)}, {_nodes(nodes)}, "
        f'"usage": {_usage(device) if device.usage else "[]"}, '
        f"{_verdict(reasons_against(host, device))}"
    )


@_shared
def _driven(driver: str | None, driver_override: str | None) -> str:
    return _members(driver=driver, driver_override=driver_override)


@_shared
def _place(numa_node: int | None, header: Header, parent: PciAddress | None) -> str:
    return _members(numa_node=numa_node, header=header.value, parent=str(parent) if parent else None)


@_shared
def _state(
    state: tuple[tuple[str, ...], str | None, bool | None, str | None, tuple[MdevType, ...]],
) -> str:
    reset_methods, power_state, boot_vga, physical_slot, mdev_types = state
    return _members(
        reset_methods=reset_methods,
        power_state=power_state,
        boot_vga=boot_vga,
        physical_slot=physical_slot,
        mdev_types=[kind._asdict() for kind in mdev_types],
    )


@_shared
def _nodes(
    nodes: tuple[tuple[str, ...], tuple[str, ...], str | None, str | None, bool | None],
) -> str:
    net_interfaces, block_devices, vfio_group_node, vfio_cdev, alive = nodes
    return _members(
        net_interfaces=net_interfaces,
        block_devices=block_devices,
        vfio_group_node=vfio_group_node,
        vfio_cdev=vfio_cdev,
        alive=alive,
    )


@_shared
def _verdict(reasons: tuple[Reason, ...]) -> str:
    return _members(assignable=not reasons, reasons=[reason.text for reason in reasons])


def _members(**members: object) -> str:
    """Encode members of an object, without the braces around them."""
    return encode(members)[1:-1]


def _hex(number: int | None, digits: int) -> str | None:
    return None if number is None else f"{number:0{digits}x}"


def _usage(device: PciDevice) -> str:
    uses = [f'{{"kind": "{use.kind.value}", "detail": {quoted(use.detail)}}}' for use in device.usage]
    return f"[{', '.join(uses)}]"


def _sriov(role: PhysicalFunction | VirtualFunction) -> Document:
    if isinstance(role, PhysicalFunction):
        functions = [str(address) for address in role.virtual_functions]
        return {
            "role": "physical",
            "total_vfs": role.total_vfs,
            "num_vfs": len(functions),
            "virtual_functions": functions,
        }
    return {"role": "virtual", "physical_function": str(role.physical_function), "index": role.index}
