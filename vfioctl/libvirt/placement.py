"""Places in a domain for new devices, where none was asked for: cards stay cards (H53), disks get a name."""

from __future__ import annotations

from string import ascii_lowercase

from vfioctl.libvirt.compose import DEFAULT_TARGET
from vfioctl.libvirt.domain_rules import is_card_function
from vfioctl.libvirt.guest_slot import cards, free_slot, place
from vfioctl.libvirt.values import NvmeDisk, PciHostdev
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vfioctl.libvirt.compose import Entry
    from vfioctl.libvirt.facts import Domain
    from vfioctl.libvirt.values import Device, GuestAddress
    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host


def placed(entries: Sequence[Entry], domain: Domain, host: Host) -> list[Entry]:
    """Return new entries with a slot of the guest for every card and a name for every disk."""
    guests = _card_places(entries, domain, host)
    taken = {found.value for found in domain.places if found.kind == "target"}
    result = []
    for entry in entries:
        device = _with_place(entry.device, guests)
        if isinstance(device, NvmeDisk) and isinstance(entry.asked, NvmeDisk) and not entry.asked.target:
            device = device._replace(target=_free_target(taken))
            taken.add(device.target)
        result.append(entry._replace(device=device))
    return result


def _card_places(entries: Sequence[Entry], domain: Domain, host: Host) -> Mapping[PciAddress, GuestAddress]:
    """Find a slot for every card of several functions that have none."""
    guests: dict[PciAddress, GuestAddress] = {}
    buses = domain.buses
    homeless = [
        entry.device.source
        for entry in entries
        if isinstance(entry.device, PciHostdev)
        and entry.device.info.guest is None
        and is_card_function(host, entry.device.source)
    ]
    for card in cards(homeless).values():
        slot = free_slot(buses) if len(card) > 1 else None
        if slot is not None:
            guests |= place(card, slot)
            taken = buses.taken | {(slot.bus, slot.slot)}
            buses = buses._replace(controllers=buses.controllers | {slot.bus}, taken=taken)
    return guests


def _with_place(device: Device, guests: Mapping[PciAddress, GuestAddress]) -> Device:
    if isinstance(device, PciHostdev) and device.source in guests:
        return device._replace(info=device.info._replace(guest=guests[device.source]))
    return device


def _free_target(taken: set[str]) -> str:
    return next((name for letter in ascii_lowercase if (name := f"vd{letter}") not in taken), DEFAULT_TARGET)
