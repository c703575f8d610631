"""The one way to name devices, for every command and for the plugin's configuration.

Several selectors are alternatives; terms joined by ``,`` inside one selector must all hold. The spelling
is :mod:`vfioctl.model.grammar`.
"""

from __future__ import annotations

from vfioctl.model.address import PciAddress
from vfioctl.model.device import PhysicalFunction, VirtualFunction
from vfioctl.model.terms import (
    TERM_KEYS,
    AddressTerm,
    BlockTerm,
    ClassTerm,
    DriverTerm,
    GroupTerm,
    IdsTerm,
    MdevTerm,
    NetTerm,
    NumaTerm,
    SlotTerm,
    Term,
    UnderTerm,
    UsbTerm,
    VfsOfTerm,
)
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host

__all__ = [
    "TERM_KEYS",
    "AddressTerm",
    "BlockTerm",
    "ClassTerm",
    "DriverTerm",
    "GroupTerm",
    "IdsTerm",
    "MdevTerm",
    "NetTerm",
    "NumaTerm",
    "Selector",
    "SlotTerm",
    "Term",
    "UnderTerm",
    "UsbTerm",
    "VfsOfTerm",
    "select",
]


class Selector(NamedTuple):
    """One selector: all its terms must hold."""

    text: str
    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a selector.

        Raises:
            UsageError: a term is not in the grammar; the message names it and what was expected.

        """
        from vfioctl.model.grammar import parse_terms  # its patterns cost more than all the rest here

        return cls(text, parse_terms(text))

    @property
    def is_exact(self) -> bool:
        """Whether it names its devices exactly: by address, slot, group, or ``vfs-of`` with indexes.

        Only then may a command change several devices without ``--all``.
        """
        return any(_is_exact(term) for term in self.terms)

    @property
    def address(self) -> AddressTerm | None:
        """The one function or slot that it names, if it names that and nothing else."""
        match self.terms:
            case (AddressTerm(domain=int(), bus=int(), device=int()) as term,):
                return term
            case _:
                return None

    @property
    def foreign(self) -> str | None:
        """What it names that is no PCI function, or None."""
        for term in self.terms:
            if isinstance(term, MdevTerm):
                return "mediated devices"
            if isinstance(term, UsbTerm):
                return "USB devices"
        return None

    def matches(self, device: PciDevice, host: Host) -> bool:
        """Tell whether every term holds for a device of a host."""
        return all(_holds(term, device, host) for term in self.terms)


def select(host: Host, selectors: Iterable[Selector]) -> tuple[PciDevice, ...]:
    """Return the devices that any of the selectors matches, in address order; none given means all."""
    wanted = tuple(selectors)
    if not wanted:
        return host.devices
    return tuple(
        device for device in host.devices if any(selector.matches(device, host) for selector in wanted)
    )


def _is_exact(term: Term) -> bool:
    match term:
        case AddressTerm(domain=domain, bus=bus, device=device):
            return None not in {domain, bus, device}
        case GroupTerm() | SlotTerm():
            return True
        case VfsOfTerm(indexes=indexes):
            return indexes is not None
        case _:
            return False


def _holds(term: Term, device: PciDevice, host: Host) -> bool:  # noqa: PLR0911, PLR0912, C901 - one line per term
    match term:
        case AddressTerm():
            return term.means(device.address)
        case IdsTerm():
            ids = (
                device.vendor_id,
                device.device_id,
                device.subsystem_vendor_id,
                device.subsystem_device_id,
            )
            return all(want is None or want == have for want, have in zip(term, ids, strict=True))
        case ClassTerm(prefixes):
            return f"{device.class_code:06x}".startswith(prefixes)
        case DriverTerm(driver):
            return _has_driver(driver, device, host)
        case GroupTerm(group):
            return device.iommu_group == group
        case NumaTerm(node):
            return device.numa_node == node
        case SlotTerm(label):
            return device.physical_slot == label
        case UnderTerm(bridge):
            return host.is_under(device, bridge)
        case NetTerm(interface):
            return interface in device.net_interfaces
        case BlockTerm(disk):
            return disk in device.block_devices
        case VfsOfTerm():
            return _is_vf_of(term, device, host)
        case MdevTerm(uuid):
            return any(mdev.uuid == uuid and mdev.parent == device.address for mdev in host.mdevs)
        case UsbTerm():
            return False
        case _:
            assert_never(term)


def _has_driver(driver: str | None, device: PciDevice, host: Host) -> bool:
    if driver is None:
        # While an unbind is blocked, or where the link could not be read, "no driver" would be a guess (K55).
        unknown = device.unbinding or (device.address, "driver") in host.unknown_fields
        return device.driver is None and not unknown
    # The module's spelling is accepted too: vfio_pci is the driver vfio-pci (K6).
    return device.driver is not None and device.driver.replace("_", "-") == driver.replace("_", "-")


def _is_vf_of(term: VfsOfTerm, device: PciDevice, host: Host) -> bool:
    if not isinstance(device.sriov, VirtualFunction):
        return False
    owner = host.by_address.get(device.sriov.physical_function)
    if isinstance(term.owner, PciAddress):
        named = device.sriov.physical_function == term.owner
    else:
        named = owner is not None and term.owner in owner.net_interfaces
    return named and (term.indexes is None or _vf_index(device, owner) in term.indexes)


def _vf_index(device: PciDevice, owner: PciDevice | None) -> int | None:
    """Return a virtual function's index: its own, else its place in its owner's list."""
    if isinstance(device.sriov, VirtualFunction) and device.sriov.index is not None:
        return device.sriov.index
    siblings = owner.sriov.virtual_functions if owner and isinstance(owner.sriov, PhysicalFunction) else ()
    return siblings.index(device.address) if device.address in siblings else None
