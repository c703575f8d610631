"""Plan to finish or undo what a run left half done."""

from __future__ import annotations

from vfioctl.model.binding import Binding, Move
from vfioctl.plan.drivers import can_load, find
from vfioctl.plan.plan import Finding, Plan, Severity, Unit
from vfioctl.plan.steps import LoadModule
from vfioctl.plan.transition import transition
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.model.drivers import DriverCatalog
    from vfioctl.model.host import Host
    from vfioctl.plan.steps import OwnNode
    from vfioctl.plan.unfinished import Unfinished


def plan_recover(
    host: Host, catalog: DriverCatalog, unfinished: Unfinished, boot_id: str | None, *, finish: bool
) -> Plan:
    """Plan to bring every device of a run to where it was, or with ``finish`` to where it was to go.

    A run whose devices have all arrived is done: there is nothing to undo then. After another boot the
    drivers have been given out anew, and nothing is left of the run.
    """
    addresses = tuple(move.address for moves in unfinished.units for move in moves)
    if boot_id is not None and boot_id != unfinished.boot_id:
        text = f"the machine was booted since this {unfinished.command}; drivers were given out anew"
        note = Finding("journal", Severity.NOTE, None, text, "see where the devices are: vfioctl scan")
        return Plan("recover", addresses, addresses, findings=(note,))
    moves = [move for part in unfinished.units for move in part]
    onward = finish or all(_arrived(host, move) for move in moves)
    made = []
    for part in unfinished.units:
        now = tuple(move for one in part if (move := _from_here(host, one, onward=onward)) is not None)
        if now or (onward and unfinished.nodes):
            nodes = _nodes(unfinished, part, host) if onward else ()
            if now or nodes:
                made.append(Unit(now, (*transition(now), *nodes)))
    findings = tuple(_findings(host, moves))
    drivers = (move.goal.driver for unit in made for move in unit.moves)
    return Plan("recover", addresses, addresses, tuple(_modules(catalog, drivers)), tuple(made), findings)


def _arrived(host: Host, move: Move) -> bool:
    device = host.by_address.get(move.address)
    if device is None:
        return True
    if device.unbinding:
        return False
    if move.kernel_decides:
        moved_on = device.driver != move.before.driver and device.driver is not None
        return moved_on and device.driver_override == move.goal.override
    return Binding(device.driver, device.driver_override) == move.goal


def _from_here(host: Host, move: Move, *, onward: bool) -> Move | None:
    """Return the rest of a move from where the device is now; None where there is none."""
    device = host.by_address.get(move.address)
    # A write to a device whose unbind is blocked would hang as well (K55).
    if device is None or device.unbinding or (onward and _arrived(host, move)):
        return None
    now = Binding(device.driver, device.driver_override)
    goal = move.goal if onward else move.before
    decides = onward and move.kernel_decides
    return None if now == goal and not decides else Move(move.address, now, goal, decides)


def _nodes(unfinished: Unfinished, part: tuple[Move, ...], host: Host) -> tuple[OwnNode, ...]:
    mine = {move.address for move in part if move.address in host.by_address}
    return tuple(node for node in unfinished.nodes if mine.intersection(node.members))


def _findings(host: Host, moves: Iterable[Move]) -> Iterator[Finding]:
    for move in moves:
        device = host.by_address.get(move.address)
        if device is None:
            yield Finding(
                "journal",
                Severity.WARN,
                move.address,
                "it is not there any more; it is left out",
                "if it should be: vfioctl scan",
            )
        elif device.unbinding:
            holders = "; ".join(usage.detail for usage in device.usage if usage.kind in {"vm", "process"})
            yield Finding(
                "vm",
                Severity.WARN,
                move.address,
                "an unbind of it is still blocked" + (f": {holders}" if holders else ""),
                "end the program that holds it, then: vfioctl recover",
            )


def _modules(catalog: DriverCatalog, drivers: Iterable[str | None]) -> Iterator[LoadModule]:
    for driver in dict.fromkeys(drivers):
        module = find(catalog, driver).module if driver is not None else None
        if module is not None and can_load(catalog, module):
            yield LoadModule(module)
