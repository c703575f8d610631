"""What became of a plan: each step's outcome, the result, and where every device stands."""

from __future__ import annotations

from vfioctl.lean import StrEnum
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress
    from vfioctl.model.binding import Binding
    from vfioctl.plan.plan import Plan
    from vfioctl.plan.steps import Step


class Status(StrEnum):
    """What became of one step."""

    PLANNED = "planned"
    DONE = "done"
    ALREADY = "already"
    FAILED = "failed"
    STUCK = "stuck"
    """The write has not come back within the timeout; it goes on in the kernel."""
    SKIPPED = "skipped"
    """Not started, since another step failed before."""
    UNDONE = "undone"
    """Done, then rolled back."""


class Result(StrEnum):
    """What became of the whole."""

    PLANNED = "planned"
    DONE = "done"
    ALREADY = "already"
    REFUSED = "refused"
    ROLLED_BACK = "rolled-back"
    PARTIAL = "partial"
    STUCK = "stuck"


EXIT_CODES = {
    Result.PLANNED: 0,
    Result.DONE: 0,
    Result.ALREADY: 0,
    Result.ROLLED_BACK: 7,
    Result.PARTIAL: 8,
    Result.STUCK: 8,
}
"""Exit codes by result; a refusal's depends on its findings."""


class StepOutcome(NamedTuple):
    """One step and what became of it."""

    step: Step
    status: Status
    errno: int | None = None
    """The kernel's answer, where it failed; None with FAILED: it said yes, and the effect was not there."""
    seen: str | None = None
    """What was found when the effect was read back and differed (K4, K8); for modprobe: what it said."""


class DeviceState(NamedTuple):
    """Where a device really stands at the end."""

    address: PciAddress
    binding: Binding | None
    """None: it cannot be read, since an unbind of it is still blocked (K55), or it is gone."""
    stuck: bool = False


class Report(NamedTuple):
    """What became of a plan."""

    plan: Plan
    outcomes: tuple[StepOutcome, ...]
    """In the plan's order, one for each step."""
    result: Result
    states: tuple[DeviceState, ...] = ()
    """Every device of the plan's moves, read at the end."""
    undo: tuple[StepOutcome, ...] = ()
    """The steps of the rollback, where there was one."""
    interrupted: bool = False
    """SIGINT or SIGTERM ended it."""

    @property
    def exit_code(self) -> int:
        """The exit code of the command."""
        if self.result is Result.REFUSED:
            return self.plan.exit_code
        if self.interrupted and self.result is Result.ROLLED_BACK:
            return 130
        return EXIT_CODES[self.result]
