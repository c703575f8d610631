"""Plan to finish or undo what a run left half done."""

from __future__ import annotations

from vfioctl.model.binding import Binding, Move
from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.situation import Situation
from vfioctl.plan.drivers import find, loads
from vfioctl.plan.findings import Case, gather, ordered
from vfioctl.plan.nodes import giving_back, unlike
from vfioctl.plan.plan import Finding, Plan, Request, Severity, Unit
from vfioctl.plan.sriov import vfs_of
from vfioctl.plan.transition import transition
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.model.device import PciDevice
    from vfioctl.model.drivers import DriverCatalog
    from vfioctl.model.host import Host
    from vfioctl.plan.steps import OwnNode
    from vfioctl.plan.unfinished import Unfinished


def plan_recover(
    host: Host, catalog: DriverCatalog, unfinished: Unfinished, situation: Situation, *, finish: bool
) -> Plan:
    """Plan to bring every device of a run to where it was, or with ``finish`` to where it was to go.

    A run whose devices have all arrived is done: there is nothing to undo then. After another boot the
    drivers have been given out anew, and nothing is left of the run. What has come to use since is checked
    as for any other change: a VM may have been started, a disk mounted.
    """
    planned = tuple(move for moves in unfinished.units for move in moves)
    addresses = tuple(move.address for move in planned)
    if situation.boot_id is not None and situation.boot_id != unfinished.boot_id:
        text = f"the machine was booted since this {unfinished.command}; drivers were given out anew"
        note = Finding("journal", Severity.NOTE, None, text, "see where the devices are: vfioctl scan")
        return Plan("recover", addresses, addresses, findings=(note,))
    onward = finish or (bool(planned) and all(_arrived(host, move) for move in planned))
    units = (
        *_units(host, unfinished, onward=onward),
        *(Unit((), (node,)) for node in _owners(host, unfinished, situation, onward=onward)),
        *_probing(host, unfinished),
    )
    moves = tuple(move for unit in units for move in unit.moves)
    case = Case("recover", host, Situation(), Request(addresses), moves, tuple(_blocked(host, planned)))
    drivers = [move.goal.driver for move in moves if move.goal.driver is not None]
    choices = [find(catalog, driver) for driver in drivers]
    return Plan(
        "recover",
        addresses,
        addresses,
        tuple(loads(choice for choice in choices if choice.missing is None)),
        units,
        ordered(
            (
                *gather(case, recovering=True),
                *_absent(host, planned),
                *_split(host, unfinished),
                *(() if onward else _unlike(unfinished)),
            )
        ),
    )


def _arrived(host: Host, move: Move) -> bool:
    device = host.by_address.get(move.address)
    if device is None:
        return True
    if device.unbinding:
        return False
    if move.kernel_decides:
        # Without a driver it may wait to be probed, or there is none for it.
        on_its_way = device.driver is None or is_vfio_driver(device.driver)
        return not on_its_way and device.driver_override == move.goal.override
    return Binding(device.driver, device.driver_override) == move.goal


def _units(host: Host, unfinished: Unfinished, *, onward: bool) -> Iterator[Unit]:
    """Yield the rest of each unit, or its way back; none where there is nothing to do."""
    for part in unfinished.units:
        moves = tuple(move for one in part if (move := _from_here(host, one, onward=onward)) is not None)
        nodes = tuple(_nodes(unfinished, part)) if onward else ()
        if moves or nodes:
            yield Unit(moves, (*transition(moves), *nodes))


def _from_here(host: Host, move: Move, *, onward: bool) -> Move | None:
    """Return the rest of a move from where the device is now; None where there is none."""
    device = host.by_address.get(move.address)
    if device is None or device.unbinding:
        return None
    now = Binding(device.driver, device.driver_override)
    if not onward:
        return None if now == move.before else Move(move.address, now, move.before)
    if _arrived(host, move):
        return None
    if move.kernel_decides and device.driver is not None and not is_vfio_driver(device.driver):
        return Move(move.address, now, Binding(device.driver, move.goal.override))
    return move._replace(before=now)


def _nodes(unfinished: Unfinished, part: Sequence[Move]) -> Iterator[OwnNode]:
    mine = {move.address for move in part}
    for node in unfinished.nodes:
        if not mine.isdisjoint(node.members):
            yield node


def _owners(host: Host, unfinished: Unfinished, situation: Situation, *, onward: bool) -> Iterator[OwnNode]:
    """Yield what is left to do of nodes whose devices stay, or stayed, where they are."""
    moving = {move.address for moves in unfinished.units for move in moves}
    for node in unfinished.nodes:
        if not any(member in host.by_address for member in node.members):
            continue
        if not onward and (back := giving_back(situation.nodes, node)) is not None:
            yield back
        if onward and moving.isdisjoint(node.members):
            yield node


def _unlike(unfinished: Unfinished) -> Iterator[Finding]:
    for node in unfinished.nodes:
        if unlike(node):
            had = ", ".join(f"{one.path} {one.uid}:{one.gid} {one.mode:04o}" for one in node.before)
            text = f"the nodes of group {node.group} are not given back what they had: {had}"
            yield Finding(
                "journal", Severity.WARN, node.address, text, "see: ls -ln /dev/vfio /dev/vfio/devices"
            )


def _probing(host: Host, unfinished: Unfinished) -> Iterator[Unit]:
    """Yield a unit for each device whose new virtual functions are kept from drivers since that run."""
    for step in unfinished.probing:
        if step.address in host.by_address:
            yield Unit((), (step,))


def _split(host: Host, unfinished: Unfinished) -> Iterator[Finding]:
    for step in unfinished.probing:
        device = host.by_address.get(step.address)
        if device is not None:
            text = f"it has {vfs_of(device)} virtual functions now; they stay"
            hint = f"vfioctl sriov set {step.address} NUMBER; or: vfioctl sriov off {step.address}"
            yield Finding("journal", Severity.NOTE, step.address, text, hint)


def _blocked(host: Host, planned: Sequence[Move]) -> Iterator[PciDevice]:
    for move in planned:
        device = host.by_address.get(move.address)
        if device is not None and device.unbinding:
            yield device


def _absent(host: Host, planned: Sequence[Move]) -> Iterator[Finding]:
    for move in planned:
        if move.address not in host.by_address:
            text = "it is not there any more, and is left out"
            yield Finding("journal", Severity.WARN, move.address, text, "see which there are: vfioctl scan")
