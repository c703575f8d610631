"""Where devices sit in the guest: functions of one card stay functions of one card (H53)."""

from __future__ import annotations

import re

from vfioctl.errors import UsageError
from vfioctl.libvirt.values import GuestAddress
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from vfioctl.model.address import PciAddress

_SPELLING = r"(?i)(?:0{4}:)?([0-9a-f]{2}):([01][0-9a-f])"
# On a PCI root bus the first slots are the chipset's; libvirt gives out the next ones itself.
_FIRST_FREE_SLOT, _LAST_SLOT, _LAST_BUS = 0x10, 0x1F, 0xFF
_PCIE_MACHINES = r"(?:pc-)?q35(?:-.*)?|virt(?:-.*)?"
_PCI_MACHINES = r"pc(?:-i440fx-.*)?|pc-[0-9].*"


class GuestSlot(NamedTuple):
    """A slot of the guest: bus and slot, both as in lspci."""

    bus: int
    slot: int

    def __str__(self) -> str:
        """Spell it as ``--guest-slot`` takes it."""
        return f"{self.bus:02x}:{self.slot:02x}"


class GuestBuses(NamedTuple):
    """What is known of a guest's PCI topology."""

    machine: str | None
    root: str | None
    """The model of its root controller, ``pcie-root`` or ``pci-root``, where it is listed."""
    controllers: frozenset[int]
    """The buses that there are, by the index of their controllers."""
    taken: frozenset[tuple[int, int]]
    """Bus and slot of every device that has an address."""


def parse_guest_slot(text: str) -> GuestSlot:
    """Read a slot of the guest, ``05:00``.

    Raises:
        UsageError: the text is no slot.

    """
    found = re.fullmatch(_SPELLING, text)
    if found is None:
        raise UsageError(
            f"not a slot of the guest: {text!r}", hint="write bus and slot in hexadecimal, as in 05:00"
        )
    return GuestSlot(int(found[1], 16), int(found[2], 16))


def place(functions: Sequence[PciAddress], slot: GuestSlot) -> dict[PciAddress, GuestAddress]:
    """Give functions of one card their addresses in one slot of the guest.

    They keep their numbers, unless function 0 is not among them: a guest looks there first, and sees nothing
    in a slot that has none.
    """
    ordered = sorted(functions)
    keep = any(address.function == 0 for address in ordered)
    return {
        address: GuestAddress(
            slot.bus,
            slot.slot,
            address.function if keep else index,
            multifunction=index == 0 and len(ordered) > 1,
        )
        for index, address in enumerate(ordered)
    }


def cards(functions: Collection[PciAddress]) -> Mapping[tuple[int, int, int], tuple[PciAddress, ...]]:
    """Return functions by the slot of the host they are in."""
    slots: dict[tuple[int, int, int], list[PciAddress]] = {}
    for address in sorted(functions):
        slots.setdefault(address.slot, []).append(address)
    return {slot: tuple(found) for slot, found in slots.items()}


def free_slot(buses: GuestBuses) -> GuestSlot | None:
    """Return a slot that nothing in the guest has; None where its kind of machine is not known.

    On PCI Express it is a bus of its own, for which libvirt adds a root port; on a PCI root bus a high slot,
    since libvirt gives the low ones to devices that have no address yet.
    """
    if _is_pcie(buses):
        last = max({0, *buses.controllers, *(bus for bus, _ in buses.taken)})
        return GuestSlot(last + 1, 0) if last < _LAST_BUS else None
    if buses.root == "pci-root" or re.fullmatch(_PCI_MACHINES, buses.machine or ""):
        slots = range(_FIRST_FREE_SLOT, _LAST_SLOT + 1)
        return next((GuestSlot(0, slot) for slot in slots if (0, slot) not in buses.taken), None)
    return None


def _is_pcie(buses: GuestBuses) -> bool:
    return buses.root == "pcie-root" or bool(re.fullmatch(_PCIE_MACHINES, buses.machine or ""))
