"""One device as JSON: every fact, the names, and the verdict."""

from __future__ import annotations

from vfioctl.lean import lru_cache
from vfioctl.model.device import PhysicalFunction
from vfioctl.model.json_text import encode, quoted
from vfioctl.model.verdict import reasons_against
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.model.device import PciDevice, VirtualFunction
    from vfioctl.model.host import Host
    from vfioctl.render.document import Document
    from vfioctl.sysfs.names import Names

# The keys in their order; %s takes JSON, anything else a number. Building thousands of dictionaries and
# encoding them would take twice as long as filling in this template.
_NUMBERS = {
    "vendor_id": '"%04x"',
    "device_id": '"%04x"',
    "subsystem_vendor_id": "%s",
    "subsystem_device_id": "%s",
    "class_code": '"%06x"',
    "revision": "%s",
    "vendor_name": "%s",
    "device_name": "%s",
    "class_name": "%s",
}
_FACTS = (
    "driver",
    "driver_override",
    "iommu_group",
    "numa_node",
    "header",
    "parent",
    "sriov",
    "reset_methods",
    "power_state",
    "boot_vga",
    "physical_slot",
    "mdev_types",
    "net_interfaces",
    "block_devices",
    "vfio_group_node",
    "vfio_cdev",
    "alive",
    "usage",
    "assignable",
    "reasons",
)
_IDENTITY = ", ".join(f'"{key}": {form}' for key, form in _NUMBERS.items())
_DEVICE = '{"address": "%s", %s, ' + ", ".join(f'"{key}": %s' for key in _FACTS) + "}"

# typed: True and 1 are equal, but not the same JSON.
_json = lru_cache(maxsize=4096, typed=True)(encode)


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
        yield _DEVICE % (device.address, identity, *_facts(host, device))


def device_document(host: Host, device: PciDevice, names: Names) -> Document:
    """Describe one device."""
    from json import loads

    described: Document = loads(next(device_texts(host, (device,), names)))
    return described


def _identity(device: PciDevice, names: Names) -> str:
    """Encode the numbers that say what a device is, and their names: many devices share them."""
    return _IDENTITY % (
        device.vendor_id,
        device.device_id,
        _hex(device.subsystem_vendor_id, 4),
        _hex(device.subsystem_device_id, 4),
        device.class_code,
        _hex(device.revision, 2),
        encode(names.vendor(device.vendor_id)),
        encode(names.device(device.vendor_id, device.device_id)),
        encode(names.class_name(device.class_code)),
    )


def _hex(number: int | None, digits: int) -> str:
    return "null" if number is None else f'"{number:0{digits}x}"'


def _facts(host: Host, device: PciDevice) -> tuple[str, ...]:
    reasons = tuple([reason.text for reason in reasons_against(host, device)])
    return (
        _json(device.driver),
        _json(device.driver_override),
        "null" if device.iommu_group is None else str(device.iommu_group),
        _json(device.numa_node),
        _json(device.header.value),
        f'"{device.parent}"' if device.parent else "null",
        encode(_sriov(device.sriov)) if device.sriov else "null",
        _json(device.reset_methods),
        _json(device.power_state),
        _json(device.boot_vga),
        _json(device.physical_slot),
        encode([kind._asdict() for kind in device.mdev_types]) if device.mdev_types else "[]",
        encode(device.net_interfaces) if device.net_interfaces else "[]",
        encode(device.block_devices) if device.block_devices else "[]",
        _json(device.vfio_group_node),
        _json(device.vfio_cdev),
        _json(device.alive),
        _usage(device) if device.usage else "[]",
        "false" if reasons else "true",
        _json(reasons) if reasons else "[]",
    )


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
