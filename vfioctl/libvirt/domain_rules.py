"""Rules about a whole domain: what its devices cannot have twice, and what excludes each other."""

from __future__ import annotations

from vfioctl.libvirt.findings import Finding, warning, wrong
from vfioctl.libvirt.guest_slot import cards
from vfioctl.libvirt.places import Place
from vfioctl.libvirt.values import (
    UNASSIGNED,
    GuestAddress,
    MdevHostdev,
    NvmeDisk,
    PciHostdev,
    UsbHostdev,
    VfInterface,
    identity,
    name_of,
)
from vfioctl.model.device import VirtualFunction
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.libvirt.facts import Domain
    from vfioctl.libvirt.values import Device
    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host


def own_places(device: Device) -> Iterator[Place]:
    """Yield what a new device takes of a domain."""
    name, info = name_of(device), device.info
    if info.boot is not None:
        yield Place("boot order", str(info.boot), name)
    if info.alias is not None:
        yield Place("alias", info.alias, name)
    if isinstance(info.guest, GuestAddress):
        yield Place("guest address", str(info.guest), name)
    if isinstance(device, NvmeDisk):
        yield Place("target", device.target, name)


def taken_twice(places: Iterable[Place]) -> Iterator[Finding]:
    """Yield what two devices of a domain claim."""
    owners: dict[tuple[str, str], str] = {}
    for place in places:
        owner = owners.setdefault((place.kind, place.value), place.device)
        if owner != place.device:
            check = {"boot order": "X8", "alias": "X13", "guest address": "guest-slot"}.get(
                place.kind, "disk"
            )
            message = f"the {place.kind} {place.value} is taken by {owner}"
            yield wrong(check, place.device, message, "choose another one")


def devices_findings(new: Sequence[Device]) -> Iterator[Finding]:
    """Yield what new devices claim from each other."""
    yield from taken_twice(place for device in new for place in own_places(device))
    yield from _listed_twice(new)


def _listed_twice(devices: Sequence[Device]) -> Iterator[Finding]:
    """Yield what is given twice; only namespaces of one controller can be several entries."""
    for index, device in enumerate(devices):
        if any(_clash(device, earlier) for earlier in devices[:index]):
            yield wrong("twice", name_of(device), "it is there twice", "give it once")


def _clash(one: Device, other: Device) -> bool:
    functions = PciHostdev | VfInterface | NvmeDisk
    if isinstance(one, functions) and isinstance(other, functions) and one.source == other.source:
        disks = isinstance(one, NvmeDisk) and isinstance(other, NvmeDisk)
        return not disks or identity(one) == identity(other)
    return identity(one) == identity(other)


def domain_findings(domain: Domain, new: Sequence[Device] = ()) -> Iterator[Finding]:
    """Yield what a domain and devices that are added to it say to each other."""
    yield from taken_twice([*domain.places, *(place for device in new for place in own_places(device))])
    orders = [place for place in domain.places if place.kind == "boot order"]
    if domain.os_boot and (orders or any(device.info.boot is not None for device in new)):
        first = orders[0].device if orders else name_of(new[0])
        yield wrong(
            "X8",
            first,
            "a boot order per device and <boot dev=...> in <os> exclude each other",
            "take <boot dev=...> out of <os>, or leave --boot out",
        )
    both = [*domain.devices, *new]
    yield from _listed_twice(both)
    if not domain.graphics:
        for device in both:
            if isinstance(device, PciHostdev | MdevHostdev) and device.display:
                yield warning(
                    "X9", name_of(device), "its display needs a <graphics> element, and there is none"
                )
    yield from _teaming(domain, both)


def _teaming(domain: Domain, both: Sequence[Device]) -> Iterator[Finding]:
    aliases = {place.value for place in domain.places if place.kind == "alias"}
    for device in both:
        if isinstance(device, PciHostdev | VfInterface) and device.teaming not in {None, *aliases}:
            message = f"no interface of this domain has the alias {device.teaming}"
            yield warning("teaming", name_of(device), message, "it is the virtio interface that stands in")


def split_cards(devices: Sequence[Device], host: Host) -> Iterator[Finding]:
    """Yield the cards whose functions land in different slots of the guest (H53)."""
    plain = [one for one in devices if isinstance(one, PciHostdev) and one.info.guest != UNASSIGNED]
    for functions in cards({one.source for one in plain if is_card_function(host, one.source)}).values():
        places = [one.info.guest for one in plain if one.source in functions]
        slots = {(place.bus, place.slot) if isinstance(place, GuestAddress) else None for place in places}
        if len(functions) > 1 and (len(slots) > 1 or None in slots):
            names = " ".join(map(str, functions))
            message = f"functions of one card ({names}) may land in different slots of the guest"
            yield warning("H53", str(functions[0]), message, "keep them together: --guest-slot 05:00")


def is_card_function(host: Host, address: PciAddress) -> bool:
    """Tell whether a function is one of a card; virtual functions are independent of each other."""
    device = host.by_address.get(address)
    return device is None or not isinstance(device.sriov, VirtualFunction)


def usb_findings(device: UsbHostdev) -> Iterator[Finding]:
    """Yield that a USB device's number is not stable."""
    if device.device is not None:
        message = f"device number {device.device} on bus {device.bus} changes at each plug"
        yield warning("X10", name_of(device), message, "name it by its id, or by its port from libvirt 12 on")
