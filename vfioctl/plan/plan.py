"""A plan: what would be done, in which order, and what speaks against it."""

from __future__ import annotations

from vfioctl.lean import StrEnum
from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress
    from vfioctl.model.binding import Move
    from vfioctl.plan.steps import LoadModule, Step

AUTO = "auto"
"""Instead of a driver's name: the best of VFIO's."""

HOST_CANNOT = frozenset({"host-cannot", "vfs"})
"""Checks that speak of what this host cannot do at all (exit code 5)."""


class Severity(StrEnum):
    """How much a finding weighs."""

    REFUSE = "refuse"
    WARN = "warn"
    NOTE = "note"


class Finding(NamedTuple):
    """What a check found: on which device, what it is, and what to do about it."""

    check: str
    """The check's name, as ``--force`` takes it."""
    severity: Severity
    address: PciAddress | None
    message: str
    hint: str


class Request(NamedTuple):
    """What an administrator asked for, selectors and names already looked up."""

    devices: tuple[PciAddress, ...]
    driver: str | None = None
    """A driver's or module's name, or ``auto``; None: ``auto`` to bind, where it came from to unbind."""
    device_only: bool = False
    release_shpchp: bool = False
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    force: frozenset[str] = frozenset()

    @property
    def for_vfio(self) -> bool:
        """Whether the driver that was asked for is VFIO's, as it is where none was."""
        return self.driver in {None, AUTO} or is_vfio_driver(self.driver)


class Unit(NamedTuple):
    """Devices that must move together, in this order; units are independent of each other.

    One unit holds what shares a group, a slot (K60: companions of a USB controller) or a link.
    """

    moves: tuple[Move, ...]
    steps: tuple[Step, ...]


class Plan(NamedTuple):
    """Steps and findings; what ``--dry-run`` prints is what the executor is handed."""

    command: str
    """``bind``, ``unbind`` or ``recover``."""
    asked: tuple[PciAddress, ...]
    """The devices that were asked for; the scope may be wider."""
    scope: tuple[PciAddress, ...]
    """Every device the plan is about, also those that are already where they should be."""
    modules: tuple[LoadModule, ...] = ()
    units: tuple[Unit, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, modules first, one unit after the other."""
        return (*self.modules, *(step for unit in self.units for step in unit.steps))

    @property
    def moves(self) -> tuple[Move, ...]:
        """All moves."""
        return tuple(move for unit in self.units for move in unit.moves)

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The findings that forbid it."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.REFUSE)

    @property
    def exit_code(self) -> int:
        """What the findings alone come to: 5 this host cannot, 4 refused, 0 nothing in the way."""
        checks = {finding.check for finding in self.refusals}
        if checks & HOST_CANNOT:
            return 5
        return 4 if checks else 0
