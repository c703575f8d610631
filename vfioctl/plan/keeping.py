"""What is to be written, done by hand, and known, so that what ``bind`` did is so after a reboot."""

from __future__ import annotations

from vfioctl.model.device import VirtualFunction
from vfioctl.model.value import NamedTuple
from vfioctl.plan.drift import find_conflicts
from vfioctl.plan.initramfs import instructions
from vfioctl.plan.persist import file_changes, stored_with
from vfioctl.plan.steps import OwnNode
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host
    from vfioctl.model.persisted import Persisted
    from vfioctl.plan.initramfs import Instruction
    from vfioctl.plan.mdevctl import Definition
    from vfioctl.plan.persist import FileChange
    from vfioctl.plan.plan import Plan


class Kept(NamedTuple):
    """What ``--persist`` comes to."""

    changes: tuple[FileChange, ...]
    instructions: tuple[Instruction, ...]
    """What the administrator has to do, for devices that a driver in the initramfs would take."""
    remarks: tuple[str, ...]
    """What will not be as it is now, or not for sure."""
    defines: tuple[Definition, ...] = ()
    """What is told to mdevctl instead."""


def keep(host: Host, persisted: Persisted, plan: Plan) -> Kept:
    """Return what it takes to have the devices of a plan, once it is done, on their drivers at every boot."""
    drivers = drivers_after(host, plan)
    wanted = stored_with(host, persisted, drivers)
    ours = tuple(one for one in wanted if one.address in drivers)
    conflicts = find_conflicts(host, persisted._replace(stored=ours))
    return Kept(
        file_changes(persisted, wanted),
        instructions(ours, persisted.initramfs),
        (*_limits(host, plan), *(f"{one.foreign.file}: {one.message}" for one in conflicts)),
    )


def drivers_after(host: Host, plan: Plan) -> dict[PciAddress, str]:
    """Return the driver of each device of a plan once it is done; bridges are the kernel's."""
    goals = {move.address: move.goal.driver for move in plan.moves}
    devices = (host.by_address[address] for address in plan.scope if address in host.by_address)
    found = {one.address: goals.get(one.address, one.driver) for one in devices if not one.is_bridge}
    return {address: driver for address, driver in found.items() if driver is not None}


def _limits(host: Host, plan: Plan) -> Iterator[str]:
    devices = [host.by_address[move] for move in drivers_after(host, plan)]
    virtual = [str(one.address) for one in devices if isinstance(one.sriov, VirtualFunction)]
    if virtual:
        yield (
            f"{' '.join(virtual)}: a virtual function is made anew after a reboot, and a driver that is"
            " loaded by then takes it before the rule is read"
        )
    if any(isinstance(step, OwnNode) for step in plan.steps):
        yield "owner and mode of the nodes are not stored: they belong to group numbers, which change"
    if any(host.by_address[move.address].is_bridge for move in plan.moves):
        yield "that a bridge is taken from shpchp is not stored: after a reboot its group is not viable"
