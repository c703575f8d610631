"""Hosts in memory: every field has an ordinary default, a test names only what its rule is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vfioctl.model.address import PciAddress
from vfioctl.model.device import Acs, Header, PciDevice, PortType
from vfioctl.model.group import IommuGroup
from vfioctl.model.host import Host
from vfioctl.model.kernel import KernelRelease

if TYPE_CHECKING:
    from collections.abc import Iterable

MODERN = KernelRelease(5, 19, "5.19.0")
"""The first release that tracks DMA ownership."""

OLD = KernelRelease(5, 18, "5.18.19")
"""The last release that did not."""


def at(text: str) -> PciAddress:
    """Return the address a text spells."""
    return PciAddress.parse(text)


def make_device(address: str = "0000:65:00.0", **fields: Any) -> PciDevice:  # noqa: ANN401 - the fields of a named tuple
    """Return an ordinary network card without driver in group 1, apart from the fields given."""
    defaults: dict[str, Any] = {
        "vendor_id": 0x8086,
        "device_id": 0x10E8,
        "subsystem_vendor_id": None,
        "subsystem_device_id": None,
        "class_code": 0x020000,
        "revision": 1,
        "driver": None,
        "driver_override": None,
        "iommu_group": 1,
        "numa_node": None,
        "header": Header.ENDPOINT,
        "parent": None,
        "sriov": None,
        "reset_methods": (),
        "power_state": None,
        "boot_vga": None,
        "physical_slot": None,
        "mdev_types": (),
        "net_interfaces": (),
        "block_devices": (),
        "vfio_group_node": None,
        "vfio_cdev": None,
        "alive": True,
        "bars": (),
        "express": True,
        "port_type": None,
        "acs": None,
        "unbinding": False,
        "companions": (),
        "usage": (),
    }
    if isinstance(fields.get("parent"), str):
        fields["parent"] = at(fields["parent"])
    return PciDevice(address=at(address), **(defaults | fields))


def make_port(address: str, kind: PortType | None = PortType.ROOT_PORT, **fields: Any) -> PciDevice:  # noqa: ANN401 - the fields of a named tuple
    """Return a PCI Express port that isolates what is behind it, driven by pcieport."""
    defaults: dict[str, Any] = {
        "class_code": 0x060400,
        "header": Header.BRIDGE,
        "driver": "pcieport",
        "port_type": kind,
        "acs": Acs.ISOLATES,
    }
    return make_device(address, **(defaults | fields))


def make_group(number: int, devices: Iterable[PciDevice], **fields: Any) -> IommuGroup:  # noqa: ANN401 - the fields of a named tuple
    """Return a group of the devices."""
    defaults: dict[str, Any] = {
        "type": "DMA-FQ",
        "members": tuple(sorted(device.address for device in devices)),
        "other_members": (),
        "reserved_regions": (),
    }
    return IommuGroup(id=number, **(defaults | fields))


def make_host(*devices: PciDevice, **fields: Any) -> Host:  # noqa: ANN401 - the fields of a named tuple
    """Return a host with an IOMMU, a current kernel and a group for every number the devices name."""
    ordered = tuple(sorted(devices, key=lambda device: device.address))
    numbers = sorted({device.iommu_group for device in ordered if device.iommu_group is not None})
    defaults: dict[str, Any] = {
        "kernel": MODERN,
        "iommu": True,
        "devices": ordered,
        "groups": tuple(
            make_group(number, (device for device in ordered if device.iommu_group == number))
            for number in numbers
        ),
    }
    return Host(**(defaults | fields))
