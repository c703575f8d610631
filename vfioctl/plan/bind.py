"""Plan to give devices to VFIO, or to a driver that was asked for."""

from __future__ import annotations

from vfioctl.model.binding import Binding, Move
from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.value import NamedTuple
from vfioctl.model.verdict import reasons_against
from vfioctl.model.viability import assess
from vfioctl.plan.drivers import AUTO, TYPE1, can_load, choose
from vfioctl.plan.findings import Case, gather
from vfioctl.plan.foresee import after
from vfioctl.plan.plan import Finding, Plan, Severity, Unit
from vfioctl.plan.scope import groups_of, reach, units
from vfioctl.plan.steps import LoadModule, OwnNode
from vfioctl.plan.transition import transition
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.drivers import DriverCatalog
    from vfioctl.model.host import Host
    from vfioctl.model.situation import Situation
    from vfioctl.plan.drivers import Choice
    from vfioctl.plan.plan import Request

RELEASABLE = "shpchp"
"""The one bridge driver that may be taken off to free a group (K19)."""


class _Chosen(NamedTuple):
    device: PciDevice
    choice: Choice


def plan_bind(host: Host, catalog: DriverCatalog, situation: Situation, request: Request) -> Plan:
    """Plan to give the devices, and all that must go with them, to VFIO."""
    for_vfio = request.driver in {None, AUTO} or is_vfio_driver(request.driver)
    scope = _scope(host, request, wide=for_vfio and not request.device_only)
    chosen = [_Chosen(device, choose(catalog, device, request.driver)) for device in scope]
    moves = [move for one in chosen if (move := _move(one, request)) is not None]
    if for_vfio and request.release_shpchp:
        moves += _releases(after(host, moves), scope)
    moving = frozenset(move.address for move in moves)
    takers = [one for one in chosen if one.device.address in moving]
    case = Case(host, situation, request, tuple(moves), for_vfio=for_vfio)
    return Plan(
        "bind",
        request.devices,
        tuple(device.address for device in scope),
        tuple(_modules(catalog, takers, for_vfio=for_vfio)),
        _units(host, situation, request, moves, scope if for_vfio else ()),
        (*gather(case), *_driver_findings(catalog, takers, for_vfio=for_vfio)),
    )


def _scope(host: Host, request: Request, *, wide: bool) -> tuple[PciDevice, ...]:
    """Return what was asked for and, of what must go with it, all that can be given away."""
    asked = frozenset(request.devices)
    around = reach(host, asked) if wide else tuple(host.by_address[address] for address in sorted(asked))
    return tuple(
        device
        for device in around
        # What cannot be bound and was not asked for stays: bridges and the board's own functions.
        if device.address in asked or not reasons_against(host, device)
    )


def _move(one: _Chosen, request: Request) -> Move | None:
    device, driver = one.device, one.choice.driver
    if request.driver in {None, AUTO} and device.on_vfio:
        return None
    before = Binding(device.driver, device.driver_override)
    goal = Binding(driver, driver)
    return None if before == goal else Move(device.address, before, goal)


def _releases(host: Host, scope: Iterable[PciDevice]) -> Iterator[Move]:
    """Yield the bridges that would keep the groups from VFIO, to be taken off their hotplug driver."""
    for number in groups_of(host, (device.address for device in scope)):
        group = host.by_group.get(number)
        if group is None:
            continue
        names = {blocker.name for blocker in assess(host, group).blockers}
        for member in host.members(group):
            if member.is_bridge and member.driver == RELEASABLE and str(member.address) in names:
                override = member.driver_override
                yield Move(member.address, Binding(member.driver, override), Binding(None, override))


def _modules(catalog: DriverCatalog, takers: Sequence[_Chosen], *, for_vfio: bool) -> Iterator[LoadModule]:
    wanted = [one.choice.module for one in takers if one.choice.module is not None]
    if takers and for_vfio and TYPE1 not in catalog.present and can_load(catalog, TYPE1):
        wanted.append(TYPE1)
    yield from (LoadModule(module) for module in dict.fromkeys(wanted))


def _driver_findings(
    catalog: DriverCatalog, takers: Sequence[_Chosen], *, for_vfio: bool
) -> Iterator[Finding]:
    for one in takers:
        address, choice = one.device.address, one.choice
        if choice.missing is not None:
            hint = (
                "see which there are: ls /sys/bus/pci/drivers; is the kernel's package of modules installed?"
            )
            yield Finding("host-cannot", Severity.REFUSE, address, choice.missing, hint)
        elif choice.reason is not None:
            hint = "to use vfio-pci all the same: --driver vfio-pci"
            yield Finding("driver", Severity.NOTE, address, choice.reason, hint)
    if takers and for_vfio and TYPE1 not in catalog.present and not can_load(catalog, TYPE1):
        text = f"this kernel has no module {TYPE1}: only programs that use iommufd can take the devices"
        yield Finding("driver", Severity.WARN, None, text, "install the kernel's package of modules")


def _units(
    host: Host,
    situation: Situation,
    request: Request,
    moves: Sequence[Move],
    owned: Iterable[PciDevice],
) -> tuple[Unit, ...]:
    nodes = dict(_nodes(host, situation, request, frozenset(move.address for move in moves), owned))
    made = []
    for part in units(host, moves):
        numbers = groups_of(host, (move.address for move in part))
        mine = tuple(nodes.pop(number) for number in numbers if number in nodes)
        made.append(Unit(part, (*transition(part), *mine)))
    # Groups whose devices are where they should be, and whose nodes alone are not.
    made += [Unit((), (node,)) for node in nodes.values()]
    return tuple(made)


def _nodes(
    host: Host,
    situation: Situation,
    request: Request,
    moving: frozenset[PciAddress],
    owned: Iterable[PciDevice],
) -> Iterator[tuple[int, OwnNode]]:
    """Yield the groups whose nodes get the owner and mode that were asked for."""
    wanted = (request.uid, request.gid, request.mode)
    if wanted == (None, None, None):
        return
    members: dict[int, list[PciAddress]] = {}
    for device in owned:
        if device.iommu_group is not None:
            members.setdefault(device.iommu_group, []).append(device.address)
    standing: Mapping[str, tuple[int, int, int]] = {
        node.path: (node.uid, node.gid, node.mode) for node in situation.nodes
    }
    for number, addresses in members.items():
        step = OwnNode(number, tuple(addresses), *wanted)
        cdevs = [cdev for address in addresses if (cdev := host.by_address[address].vfio_cdev)]
        now = [standing.get(path) for path in (step.path, *(_node(cdev) for cdev in cdevs))]
        if moving.intersection(addresses) or not all(_is_owned(one, wanted) for one in now):
            yield number, step


def _node(cdev: str) -> str:
    return cdev if cdev.startswith("/") else f"/dev/vfio/devices/{cdev}"


def _is_owned(now: tuple[int, int, int] | None, wanted: tuple[int | None, int | None, int | None]) -> bool:
    return now is not None and all(
        asked is None or asked == found for asked, found in zip(wanted, now, strict=True)
    )
