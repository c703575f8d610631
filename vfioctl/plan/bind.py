"""Plan to give devices to VFIO, or to a driver that was asked for."""

from __future__ import annotations

from vfioctl.model.binding import Binding, Move
from vfioctl.model.value import NamedTuple
from vfioctl.model.verdict import reasons_against
from vfioctl.model.viability import RELEASABLE, assess
from vfioctl.plan.checks.host import barriers
from vfioctl.plan.drivers import TYPE1, can_load, choose, loads
from vfioctl.plan.findings import Case, gather, ordered
from vfioctl.plan.foresee import after
from vfioctl.plan.nodes import owning
from vfioctl.plan.plan import AUTO, Finding, Plan, Severity, Unit
from vfioctl.plan.scope import groups_of, named, reach, units
from vfioctl.plan.steps import LoadModule
from vfioctl.plan.transition import transition
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.model.device import PciDevice
    from vfioctl.model.drivers import DriverCatalog
    from vfioctl.model.host import Host
    from vfioctl.model.situation import Situation
    from vfioctl.plan.drivers import Choice
    from vfioctl.plan.plan import Request


class _Chosen(NamedTuple):
    device: PciDevice
    choice: Choice


def plan_bind(host: Host, catalog: DriverCatalog, situation: Situation, request: Request) -> Plan:
    """Plan to give the devices, and all that must go with them, to VFIO.

    To a driver that is not VFIO's goes only what was asked for, and no group is looked at. What cannot be
    bound at all has no steps; what a check refuses has them, to be looked at.

    Raises:
        NotFoundError: a device is not there.

    """
    scope = _scope(host, request)
    wanted = [_Chosen(device, choose(catalog, device, request.driver)) for device in scope]
    wanted = [one for one in wanted if not _is_there(one, request)]
    barred = tuple(
        one.device for one in wanted if one.device.unbinding or barriers(host, one.device, "bind", request)
    )
    takers = [one for one in wanted if one.device not in barred]
    moves = [_move(one) for one in takers]
    if request.for_vfio and request.release_shpchp:
        moves += _releases(after(host, moves), scope)
    case = Case("bind", host, situation, request, tuple(moves), barred)
    about = {*(device.address for device in scope), *(move.address for move in moves)}
    return Plan(
        "bind",
        request.devices,
        tuple(sorted(about)),
        tuple(_modules(catalog, takers, request)),
        _units(host, situation, request, moves, [device for device in scope if device not in barred]),
        ordered((*gather(case), *_driver_findings(catalog, takers, request))),
    )


def _scope(host: Host, request: Request) -> tuple[PciDevice, ...]:
    """Return what was asked for and, of what must go with it, all that can be given away."""
    asked = named(host, request)
    if not request.for_vfio or request.device_only:
        return asked
    return tuple(
        device
        for device in reach(host, request.devices)
        # What cannot be bound and was not asked for stays: bridges and the board's own functions.
        if device in asked or not reasons_against(host, device)
    )


def _is_there(one: _Chosen, request: Request) -> bool:
    if request.driver in {None, AUTO}:
        return one.device.on_vfio
    return one.device.driver == one.choice.driver


def _move(one: _Chosen) -> Move:
    device, driver = one.device, one.choice.driver
    return Move(device.address, Binding(device.driver, device.driver_override), Binding(driver, driver))


def _releases(host: Host, scope: Sequence[PciDevice]) -> Iterator[Move]:
    """Yield the bridges that would keep the groups from VFIO, to be taken off their hotplug driver (K19)."""
    for number in groups_of(host, (device.address for device in scope if not device.is_bridge)):
        group = host.by_group.get(number)
        if group is None:
            continue
        names = {blocker.name for blocker in assess(host, group).blockers}
        for member in host.members(group):
            if member.is_bridge and member.driver == RELEASABLE and str(member.address) in names:
                override = member.driver_override
                yield Move(member.address, Binding(member.driver, override), Binding(None, override))


def _modules(catalog: DriverCatalog, takers: Sequence[_Chosen], request: Request) -> Iterator[LoadModule]:
    yield from loads(one.choice for one in takers)
    if takers and request.for_vfio and TYPE1 not in catalog.present and can_load(catalog, TYPE1):
        yield LoadModule(TYPE1)


def _driver_findings(
    catalog: DriverCatalog, takers: Sequence[_Chosen], request: Request
) -> Iterator[Finding]:
    for one in takers:
        address, choice = one.device.address, one.choice
        if choice.missing is not None:
            hint = f"see which there are: ls /sys/bus/pci/drivers; modinfo {choice.module}"
            yield Finding("host-cannot", Severity.REFUSE, address, choice.missing, hint)
        if choice.reason is not None:
            hint = "to choose another: --driver NAME"
            yield Finding("driver", Severity.NOTE, address, choice.reason, hint)
        if choice.doubt is not None:
            yield Finding("unknown", Severity.WARN, None, choice.doubt, f"see: modinfo {choice.module}")
    if takers and request.for_vfio and TYPE1 not in catalog.present and not can_load(catalog, TYPE1):
        text = f"this kernel has no module {TYPE1}: only programs that use iommufd can take the devices"
        yield Finding("driver", Severity.WARN, None, text, f"see: modinfo {TYPE1}")


def _units(
    host: Host,
    situation: Situation,
    request: Request,
    moves: Sequence[Move],
    given: Sequence[PciDevice],
) -> tuple[Unit, ...]:
    nodes = (
        {step.group: step for step in owning(situation, request, moves, given)} if request.for_vfio else {}
    )
    made = []
    for part in units(host, moves):
        numbers = groups_of(host, (move.address for move in part))
        mine = tuple(nodes.pop(number) for number in numbers if number in nodes)
        made.append(Unit(part, (*transition(part), *mine)))
    # Groups whose devices are where they should be, and whose nodes alone are not.
    return (*made, *(Unit((), (node,)) for node in nodes.values()))
