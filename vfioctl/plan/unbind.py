"""Plan to give devices back to the drivers they came from."""

from __future__ import annotations

from vfioctl.model.binding import Binding, Move
from vfioctl.model.ids import is_vfio_driver
from vfioctl.plan.drivers import AUTO, can_load, find
from vfioctl.plan.findings import Case, gather
from vfioctl.plan.plan import Finding, Plan, Severity, Unit
from vfioctl.plan.scope import reach, units
from vfioctl.plan.steps import LoadModule
from vfioctl.plan.transition import transition
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.model.address import PciAddress
    from vfioctl.model.binding import Record
    from vfioctl.model.device import PciDevice
    from vfioctl.model.drivers import DriverCatalog
    from vfioctl.model.host import Host
    from vfioctl.model.situation import Situation
    from vfioctl.plan.plan import Request


def plan_unbind(host: Host, catalog: DriverCatalog, situation: Situation, request: Request) -> Plan:
    """Plan to give back the devices, and what was given away together with them."""
    asked = frozenset(request.devices)
    around = (
        tuple(host.by_address[address] for address in sorted(asked))
        if request.device_only
        else reach(host, asked)
    )
    records = {record.address: record for record in situation.records if _is_same(host, record)}
    scope = tuple(
        device
        for device in around
        if device.address in asked or device.on_vfio or (device.driver is None and device.address in records)
    )
    moves: list[Move] = []
    findings: list[Finding] = []
    for device in scope:
        move = _move(device, records.get(device.address), catalog, request, findings)
        if move is not None:
            moves.append(move)
    case = Case(host, situation, request, tuple(moves), for_vfio=False)
    return Plan(
        "unbind",
        request.devices,
        tuple(device.address for device in scope),
        tuple(_modules(catalog, moves)),
        tuple(Unit(part, transition(part)) for part in units(host, moves)),
        (*gather(case), *findings),
    )


def _is_same(host: Host, record: Record) -> bool:
    """Tell whether the recorded card is still the one at this address."""
    device = host.by_address.get(record.address)
    return device is not None and (device.vendor_id, device.device_id) == (record.vendor_id, record.device_id)


def _move(
    device: PciDevice,
    record: Record | None,
    catalog: DriverCatalog,
    request: Request,
    findings: list[Finding],
) -> Move | None:
    before = Binding(device.driver, device.driver_override)
    if device.driver is not None and not device.on_vfio:
        return None
    if device.driver is None and device.is_bridge and record is None:
        return None
    if request.driver not in {None, AUTO}:
        choice = find(catalog, str(request.driver))
        if choice.missing is not None:
            findings.append(_missing(device.address, choice.missing))
        return Move(device.address, before, Binding(choice.driver, None))
    if record is None:
        return Move(device.address, before, Binding(None, None), kernel_decides=True)
    origin = record.origin
    override = None if is_vfio_driver(origin.override) else origin.override
    if origin.driver is not None and find(catalog, origin.driver).missing is not None:
        findings.append(_gone(device.address, origin.driver))
        return Move(device.address, before, Binding(None, override), kernel_decides=True)
    goal = Binding(origin.driver, override)
    return None if goal == before else Move(device.address, before, goal)


def _missing(address: PciAddress, why: str) -> Finding:
    hint = "see which drivers there are: ls /sys/bus/pci/drivers"
    return Finding("host-cannot", Severity.REFUSE, address, why, hint)


def _gone(address: PciAddress, driver: str) -> Finding:
    text = f"its driver was {driver}, which is not there any more; the kernel will choose another"
    return Finding("driver", Severity.WARN, address, text, "name one yourself: --driver NAME")


def _modules(catalog: DriverCatalog, moves: Iterable[Move]) -> Iterator[LoadModule]:
    drivers = dict.fromkeys(move.goal.driver for move in moves if move.goal.driver is not None)
    for driver in drivers:
        module = find(catalog, driver).module
        if module is not None and can_load(catalog, module):
            yield LoadModule(module)
