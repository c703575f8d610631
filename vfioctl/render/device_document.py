"""One device as a document: every fact, the names, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfioctl.model.device import PhysicalFunction
from vfioctl.model.verdict import reasons_against

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vfioctl.model.device import PciDevice, VirtualFunction
    from vfioctl.model.host import Host
    from vfioctl.render.document import Document
    from vfioctl.sysfs.names import Names


def device_documents(host: Host, devices: Iterable[PciDevice], names: Names) -> Iterator[Document]:
    """Describe devices of a host, one after the other."""
    describe = describer(host, names)
    return map(describe, devices)


def describer(host: Host, names: Names) -> Callable[[PciDevice], Document]:
    """Return a function that describes a device of this host.

    It runs thousands of times: numbers are formatted in place, and what most devices lack costs one test.
    """

    def describe(device: PciDevice) -> Document:
        reasons = [reason.text for reason in reasons_against(host, device)]
        return {
            "address": str(device.address),
            "vendor_id": f"{device.vendor_id:04x}",
            "device_id": f"{device.device_id:04x}",
            "subsystem_vendor_id": _hex4(device.subsystem_vendor_id),
            "subsystem_device_id": _hex4(device.subsystem_device_id),
            "class_code": f"{device.class_code:06x}",
            "revision": None if device.revision is None else f"{device.revision:02x}",
            "vendor_name": names.vendor(device.vendor_id),
            "device_name": names.device(device.vendor_id, device.device_id),
            "class_name": names.class_name(device.class_code),
            "driver": device.driver,
            "driver_override": device.driver_override,
            "iommu_group": device.iommu_group,
            "numa_node": device.numa_node,
            "header": device.header.value,
            "parent": None if device.parent is None else str(device.parent),
            "sriov": _sriov(device.sriov) if device.sriov else None,
            "reset_methods": device.reset_methods,
            "power_state": device.power_state,
            "boot_vga": device.boot_vga,
            "physical_slot": device.physical_slot,
            "mdev_types": [kind._asdict() for kind in device.mdev_types] if device.mdev_types else [],
            "net_interfaces": device.net_interfaces,
            "block_devices": device.block_devices,
            "vfio_group_node": device.vfio_group_node,
            "vfio_cdev": device.vfio_cdev,
            "alive": device.alive,
            "usage": [{"kind": use.kind.value, "detail": use.detail} for use in device.usage]
            if device.usage
            else [],
            "assignable": not reasons,
            "reasons": reasons,
        }

    return describe


def _hex4(number: int | None) -> str | None:
    return None if number is None else f"{number:04x}"


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
