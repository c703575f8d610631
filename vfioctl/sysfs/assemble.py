"""From one device's facts and what surrounds it to a PciDevice."""

from __future__ import annotations

from vfioctl.model.address import PciAddress
from vfioctl.model.device import (
    Acs,
    Bar,
    Header,
    MdevType,
    PciDevice,
    PhysicalFunction,
    PortType,
    VirtualFunction,
)
from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs.classes import function_above
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfioctl.sysfs.classes import VfioNodes
    from vfioctl.sysfs.probe import Probe
    from vfioctl.sysfs.usage import UsageFacts

_HEADERS = {0: Header.ENDPOINT, 1: Header.BRIDGE, 2: Header.CARDBUS}
_CARDBUS_CLASS = 0x0607

# The device/port type field of the PCI Express capability.
_PORT_TYPES = {
    0x0: PortType.ENDPOINT,
    0x1: PortType.LEGACY_ENDPOINT,
    0x4: PortType.ROOT_PORT,
    0x5: PortType.UPSTREAM,
    0x6: PortType.DOWNSTREAM,
    0x7: PortType.TO_PCI,
    0x8: PortType.FROM_PCI,
    0x9: PortType.INTEGRATED,
    0xA: PortType.COLLECTOR,
}


class Surroundings(NamedTuple):
    """What the classes of the host say, for all devices at once."""

    slots: Mapping[tuple[int, int, int], str]
    vfio: VfioNodes
    companions: Mapping[PciAddress, tuple[PciAddress, ...]]
    usage: UsageFacts
    vf_indexes: Mapping[PciAddress, int]
    """The index of each virtual function, from its physical function's links."""


def make_device(address: PciAddress, path: str, facts: Probe, around: Surroundings) -> PciDevice:
    """Make a device from its own facts, its place in the device tree and its surroundings."""
    vendor, device, subsystem_vendor, subsystem_device, class_code = facts.ids
    header_type, alive, port_type, acs, _ = facts.config
    # Bridges have no subsystem ids; the kernel prints zeros.
    has_subsystem = bool(subsystem_vendor or subsystem_device)
    usage = around.usage
    # In the order of the fields: to name them all takes longer than all else here, and hosts have thousands.
    return PciDevice(
        address,
        vendor,
        device,
        subsystem_vendor if has_subsystem else None,
        subsystem_device if has_subsystem else None,
        class_code,
        facts.revision,
        facts.driver,
        facts.driver_override,
        facts.iommu_group,
        facts.numa_node,
        _header(header_type, facts, class_code),
        _parent(path),
        _sriov(address, facts, around),
        facts.reset_methods,
        facts.power_state,
        facts.boot_vga,
        around.slots.get(address.slot),
        tuple(MdevType(*kind) for kind in facts.mdev_types) if facts.mdev_types else (),
        usage.interfaces.get(address, ()),
        usage.disks.get(address, ()),
        _group_node(facts, around),
        around.vfio.cdevs.get(address),
        alive,
        tuple(Bar(*bar) for bar in facts.bars) if facts.bars else (),
        facts.express,
        None if port_type is None else _PORT_TYPES.get(port_type),
        None if acs is None else Acs(acs),
        facts.unbinding,
        around.companions.get(address, ()),
        usage.uses.get(address, ()),
    )


def _header(header_type: int | None, facts: Probe, class_code: int) -> Header:
    if header_type in _HEADERS:
        return _HEADERS[header_type]
    # No configuration space to ask (unreadable, asleep or dead): the class says it.
    if class_code >> 8 == _CARDBUS_CLASS:
        return Header.CARDBUS
    return Header.BRIDGE if facts.bridge else Header.ENDPOINT


def _parent(path: str) -> PciAddress | None:
    # ".../0000:00:01.0/0000:01:00.0": the folder above is the bridge, or pci0000:00 on a root bus. Behind
    # Intel VMD the way is ".../0000:00:0e.0/pci10000:00/10000:00:02.0".
    return function_above(path.rsplit("/", 1)[0])


def _sriov(
    address: PciAddress,
    facts: Probe,
    around: Surroundings,
) -> PhysicalFunction | VirtualFunction | None:
    if facts.physical_function is not None:
        owner = PciAddress.from_name(facts.physical_function)
        return None if owner is None else VirtualFunction(owner, around.vf_indexes.get(address))
    if facts.has_sriov:
        functions = (PciAddress.from_name(name) for _, name in facts.virtual_functions)
        return PhysicalFunction(facts.total_vfs, tuple(address for address in functions if address))
    return None


def _group_node(facts: Probe, around: Surroundings) -> str | None:
    if facts.iommu_group is None or not (is_vfio_driver(facts.driver) or facts.unbinding):
        return None
    return around.vfio.groups.get(facts.iommu_group)
