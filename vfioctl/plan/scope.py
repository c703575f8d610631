"""How far a change reaches: groups and companions, and which devices must move together."""

from __future__ import annotations

from vfioctl.errors import NotFoundError
from vfioctl.model.device import VirtualFunction
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.model.binding import Move
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.plan.plan import Request

EHCI = 0x0C0320
"""The class code of a USB 2 controller."""
_SLOW_USB = frozenset({0x0C0300, 0x0C0310})
"""UHCI and OHCI."""


def named(host: Host, request: Request) -> tuple[PciDevice, ...]:
    """Return the devices that were asked for, in order.

    Raises:
        NotFoundError: one of them is not there.

    """
    for address in request.devices:
        if address not in host.by_address:
            raise NotFoundError(f"there is no device {address}", hint="see which there are: vfioctl scan")
    return tuple(host.by_address[address] for address in sorted(set(request.devices)))


def reach(host: Host, devices: Iterable[PciAddress]) -> tuple[PciDevice, ...]:
    """Return the devices with all that shares a group with them or is tied to them by a link (K50)."""
    found: dict[PciAddress, PciDevice] = {}
    waiting = list(devices)
    while waiting:
        device = host.by_address.get(waiting.pop())
        if device is None or device.address in found:
            continue
        found[device.address] = device
        group = host.group_of(device)
        if group is not None:
            waiting.extend(group.members)
        if not device.is_bridge:
            waiting.extend(companions(host, device))
    return tuple(found[address] for address in sorted(found))


def companions(host: Host, device: PciDevice) -> tuple[PciAddress, ...]:
    """Return what a device is tied to: by a link (K50), or as USB controllers are that share ports (K60)."""
    usb = usb_companions(host, device)
    return (*device.companions, *(one.address for one in usb if one.address not in device.companions))


def usb_companions(host: Host, device: PciDevice) -> tuple[PciDevice, ...]:
    """Return the controllers of the same slot that share their ports with a USB controller.

    An EHCI controller hands slow devices to the UHCI or OHCI functions beside it.
    """
    if device.class_code not in _SLOW_USB | {EHCI}:
        return ()
    others = _SLOW_USB if device.class_code == EHCI else {EHCI}
    return tuple(one for one in host.same_slot(device) if one.class_code in others)


def units(host: Host, moves: Sequence[Move]) -> tuple[tuple[Move, ...], ...]:
    """Part moves into those that must go together: of one group, one slot (K60), or tied by a link."""
    by_address = {move.address: move for move in moves}
    left = dict(by_address)
    parts = []
    while left:
        waiting = [min(left)]
        part: list[Move] = []
        while waiting:
            address = waiting.pop()
            move = left.pop(address, None)
            if move is not None:
                part.append(move)
                waiting.extend(near for near in _near(host, address) if near in left)
        parts.append(tuple(sorted(part, key=lambda move: move.address)))
    return tuple(parts)


def _near(host: Host, address: PciAddress) -> Iterator[PciAddress]:
    device = host.by_address.get(address)
    if device is None:
        return
    group = host.group_of(device)
    if group is not None:
        yield from group.members
    yield from companions(host, device)
    # Virtual functions fill the slots of a bus by number alone; they have nothing to do with each other.
    if not isinstance(device.sriov, VirtualFunction):
        for neighbour in host.same_slot(device):
            if not isinstance(neighbour.sriov, VirtualFunction):
                yield neighbour.address


def groups_of(host: Host, devices: Iterable[PciAddress]) -> tuple[int, ...]:
    """Return the numbers of the groups that the devices are in."""
    found = (host.by_address[address].iommu_group for address in devices if address in host.by_address)
    return tuple(sorted({number for number in found if number is not None}))
