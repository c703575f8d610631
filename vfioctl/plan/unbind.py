"""Plan to give devices back to the drivers they came from."""

from __future__ import annotations

from vfioctl.errors import UsageError
from vfioctl.model.binding import Binding, Move
from vfioctl.model.ids import is_vfio_driver
from vfioctl.plan.checks.host import barriers
from vfioctl.plan.drivers import find, loads
from vfioctl.plan.findings import Case, gather, ordered
from vfioctl.plan.plan import AUTO, Finding, Plan, Severity, Unit
from vfioctl.plan.scope import named, reach, units
from vfioctl.plan.transition import transition
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress
    from vfioctl.model.binding import Record
    from vfioctl.model.device import PciDevice
    from vfioctl.model.drivers import DriverCatalog
    from vfioctl.model.host import Host
    from vfioctl.model.situation import Situation
    from vfioctl.plan.plan import Request


def plan_unbind(host: Host, catalog: DriverCatalog, situation: Situation, request: Request) -> Plan:
    """Plan to give back the devices, and what was given away together with them.

    A device goes to the driver that was recorded for it, else to the one that was asked for, else to
    whichever the kernel chooses; its override is taken away, unless it had one for a driver of the host's.

    Raises:
        NotFoundError: a device is not there.
        UsageError: the driver that was asked for is VFIO's.

    """
    if request.driver not in {None, AUTO} and is_vfio_driver(request.driver):
        raise UsageError(
            f"unbind gives devices back to a driver of the host's, and {request.driver} is VFIO's",
            hint=f"vfioctl bind --driver {request.driver} {' '.join(map(str, request.devices))}",
        )
    records = {record.address: record for record in situation.records if _is_same(host, record)}
    scope = _scope(host, records, request)
    ways = _Ways(records, catalog, request)
    wanted = [(device, move) for device in scope if (move := ways.back(device)) is not None]
    barred = tuple(
        device for device, _ in wanted if device.unbinding or barriers(host, device, "unbind", request)
    )
    moves = tuple(move for device, move in wanted if device not in barred)
    case = Case("unbind", host, situation, request, moves, barred)
    return Plan(
        "unbind",
        request.devices,
        tuple(device.address for device in scope),
        tuple(loads(find(catalog, move.goal.driver) for move in moves if move.goal.driver is not None)),
        tuple(Unit(part, transition(part)) for part in units(host, moves)),
        ordered((*gather(case), *ways.findings)),
    )


def _scope(host: Host, records: dict[PciAddress, Record], request: Request) -> tuple[PciDevice, ...]:
    asked = named(host, request)
    if request.device_only:
        return asked
    return tuple(
        device
        for device in reach(host, request.devices)
        if device in asked
        or device.on_vfio
        or device.unbinding
        or (device.driver is None and device.address in records)
    )


def _is_same(host: Host, record: Record) -> bool:
    """Tell whether the recorded card is still the one at this address."""
    device = host.by_address.get(record.address)
    return device is not None and (device.vendor_id, device.device_id) == (record.vendor_id, record.device_id)


class _Ways:
    """Finds the way back of each device, and keeps what is to be said about it."""

    def __init__(self, records: dict[PciAddress, Record], catalog: DriverCatalog, request: Request) -> None:
        self._records = records
        self._catalog = catalog
        self._driver = None if request.driver == AUTO else request.driver
        self.findings: list[Finding] = []

    def back(self, device: PciDevice) -> Move | None:
        """Return the move back; None: it is where it should be."""
        if device.driver is not None and not device.on_vfio:
            return None
        before = Binding(device.driver, device.driver_override)
        goal = self._recorded(device) or self._asked_for(device)
        if goal is not None:
            return None if goal == before else Move(device.address, before, goal)
        if device.driver is None and not is_vfio_driver(device.driver_override) and not device.unbinding:
            self._parked(device)
            return None
        # Cleared, and left to the kernel: also what an override keeps waiting for VFIO.
        return Move(device.address, before, Binding(None, None), kernel_decides=True)

    def _recorded(self, device: PciDevice) -> Binding | None:
        record = self._records.get(device.address)
        if record is None:
            return None
        driver, override = record.origin
        if driver is not None and find(self._catalog, driver).missing is not None:
            text = f"it came from {driver}, which is not there any more"
            self._warn(device, text, f"see: modinfo {driver}; to name another: --driver NAME")
            return None
        if self._driver is not None and driver not in {None, find(self._catalog, self._driver).driver}:
            text = f"it came from {driver} and goes back there: --driver is for what is not recorded"
            self._warn(device, text, f"afterwards: vfioctl bind --driver {self._driver} {device.address}")
        # An override for VFIO would take it there again at the next probe (K10).
        return Binding(driver, None if is_vfio_driver(override) else override)

    def _warn(self, device: PciDevice, text: str, hint: str) -> None:
        self.findings.append(Finding("driver", Severity.WARN, device.address, text, hint))

    def _asked_for(self, device: PciDevice) -> Binding | None:
        if self._driver is None or device.is_bridge:
            return None
        choice = find(self._catalog, self._driver)
        if choice.missing is not None:
            hint = f"see which there are: ls /sys/bus/pci/drivers; modinfo {choice.module}"
            refusal = Finding("host-cannot", Severity.REFUSE, device.address, choice.missing, hint)
            self.findings.append(refusal)
        return Binding(choice.driver, None)

    def _parked(self, device: PciDevice) -> None:
        override = device.driver_override
        if override is not None:
            text = f"it has no driver, and its driver_override {override} is not VFIO's: it is left so"
            hint = "to give it one: vfioctl bind --driver NAME " + str(device.address)
            self.findings.append(Finding("driver", Severity.NOTE, device.address, text, hint))
