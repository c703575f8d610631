"""The host as it will be after a plan, as far as bindings go."""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.model.binding import Move
    from vfioctl.model.host import Host
    from vfioctl.plan.plan import Plan


def foresee(host: Host, plan: Plan) -> Host:
    """Return the host with every device of the plan at its goal.

    A driver that the kernel chooses is unknown beforehand; the device then shows none.
    """
    return after(host, plan.moves)


def after(host: Host, moves: Iterable[Move]) -> Host:
    """Return the host with every moved device at its goal."""
    goals = {move.address: move.goal for move in moves}
    return host._replace(
        devices=tuple(
            device._replace(
                driver=goals[device.address].driver, driver_override=goals[device.address].override
            )
            if device.address in goals
            else device
            for device in host.devices
        )
    )
