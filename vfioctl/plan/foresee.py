"""The host as it will be after a plan, as far as bindings go."""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.model.binding import Move
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.plan.plan import Plan

_SPLITTING = "vmd"
"""The driver that makes a PCI domain of what is behind its controller (K51)."""


def foresee(host: Host, plan: Plan) -> Host:
    """Return the host with every device of the plan at its goal.

    A driver that the kernel chooses is unknown beforehand; the device then shows none.
    """
    return after(host, plan.moves)


def after(host: Host, moves: Sequence[Move]) -> Host:
    """Return the host with every moved device at its goal, and without what vanishes with its driver."""
    goals = {move.address: move.goal for move in moves}
    leaving = [
        move.address for move in moves if move.kernel_decides or move.goal.driver != move.before.driver
    ]
    gone = {one.address for address in leaving for one in vanishing(host, host.by_address[address])}
    devices = (device for device in host.devices if device.address not in gone)
    return host._replace(
        devices=tuple(
            device._replace(
                driver=goals[device.address].driver, driver_override=goals[device.address].override
            )
            if device.address in goals
            else device
            for device in devices
        ),
        groups=host.groups
        if not gone
        else tuple(
            group._replace(members=tuple(member for member in group.members if member not in gone))
            for group in host.groups
        ),
    )


def vanishing(host: Host, device: PciDevice) -> tuple[PciDevice, ...]:
    """Return what is no longer there once a device leaves its driver: the domain behind Intel VMD (K51)."""
    group = host.group_of(device)
    if device.driver != _SPLITTING or group is None:
        return ()
    return tuple(member for member in host.members(group) if member.address.in_software_domain)


def lost_with(host: Host, addresses: Iterable[PciAddress]) -> tuple[PciDevice, ...]:
    """Return the devices, and what vanishes with them."""
    devices = [host.by_address[address] for address in addresses]
    return tuple(one for device in devices for one in (device, *vanishing(host, device)))
