"""Carries a plan out: modules first, then the units side by side, each in its own order.

The first failure stops everything: what is under way is waited for, nothing else is started.
"""

from __future__ import annotations

from vfioctl.apply.effects import perform
from vfioctl.apply.lanes import OverdueError, run_scripts
from vfioctl.lean import suppress
from vfioctl.model.value import NamedTuple
from vfioctl.plan.outcome import Status, StepOutcome
from vfioctl.plan.steps import BindDriver, ProbeDrivers, SetOverride, UnbindDriver
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vfioctl.apply.effects import Owned
    from vfioctl.apply.lanes import Script
    from vfioctl.apply.port import Port
    from vfioctl.apply.signals import Interruption
    from vfioctl.model.address import PciAddress
    from vfioctl.plan.plan import Plan
    from vfioctl.plan.steps import Step

    Outcomes = tuple[StepOutcome, ...]

WELL = frozenset({Status.DONE, Status.ALREADY})
"""What a step that stands in nobody's way comes to."""


class Course:
    """What the units of one run share: whether to go on, who watches, which nodes changed hands."""

    def __init__(
        self, port: Port, timeout: float, observe: Callable[[StepOutcome], None], interruption: Interruption
    ) -> None:
        """Go on until something fails or somebody asks for an end."""
        self.port = port
        self.timeout = timeout
        self.owned: list[Owned] = []
        self._observe = observe
        self._interruption = interruption
        self._failed = False
        self._failed_uninterrupted = False

    @property
    def halted(self) -> bool:
        """Whether nothing else is to be started."""
        return self._failed or self._interruption.asked

    @property
    def stopped(self) -> bool:
        """Whether somebody asked for an end."""
        return self._interruption.asked

    @property
    def interrupted(self) -> bool:
        """Whether somebody asked for an end before anything failed."""
        return self._interruption.asked and not self._failed_uninterrupted

    def note(self, outcome: StepOutcome) -> None:
        """Tell who watches, and remember a failure."""
        if outcome.status not in WELL and not self._failed:
            self._failed = True
            self._failed_uninterrupted = not self._interruption.asked
        # A terminal or pipe that went away is no reason to leave devices half done.
        with suppress(OSError):
            self._observe(outcome)


class Run(NamedTuple):
    """What became of a plan's steps."""

    modules: Outcomes
    units: tuple[Outcomes, ...]

    @property
    def outcomes(self) -> Outcomes:
        """All of them in the plan's order."""
        return (*self.modules, *(outcome for unit in self.units for outcome in unit))

    @property
    def complete(self) -> bool:
        """Whether every step is done."""
        return all(outcome.status in WELL for outcome in self.outcomes)


def run_plan(course: Course, plan: Plan) -> Run:
    """Carry out all steps of a plan, or those up to a failure; the others are skipped."""
    modules = run_scripts(course.port, [_in_order(course, plan.modules)])[0]
    units = run_scripts(course.port, [_in_order(course, unit.steps) for unit in plan.units])
    return Run(modules, tuple(units))


def run_as_far_as_possible(
    course: Course, units: Iterable[Sequence[Step]], *, stoppable: bool
) -> tuple[Outcomes, ...]:
    """Carry out what can be of each unit: after a failure, the other devices and units go on.

    Where it is stoppable, a signal ends it between two steps, and who watches is told of each.
    """
    return tuple(run_scripts(course.port, [_each(course, steps, stoppable=stoppable) for steps in units]))


def skipped(steps: Iterable[Step]) -> Outcomes:
    """Return the outcomes of steps that were not started."""
    return tuple(StepOutcome(step, Status.SKIPPED) for step in steps)


def blocked_devices(outcomes: Iterable[StepOutcome]) -> frozenset[PciAddress]:
    """Return the devices with a write that has not come back: nothing of them may be touched (K55)."""
    return frozenset(
        outcome.step.address
        for outcome in outcomes
        if outcome.status is Status.STUCK
        and isinstance(outcome.step, SetOverride | UnbindDriver | BindDriver | ProbeDrivers)
    )


def _in_order(course: Course, steps: Sequence[Step]) -> Script[Outcomes]:
    outcomes: list[StepOutcome] = []
    for step in steps:
        if course.halted:
            break
        outcome = yield from _attempt(course, step, lambda: course.halted)
        course.note(outcome)
        outcomes.append(outcome)
        if outcome.status not in WELL:
            break
    return (*outcomes, *skipped(steps[len(outcomes) :]))


def _each(course: Course, steps: Sequence[Step], *, stoppable: bool) -> Script[Outcomes]:
    outcomes: list[StepOutcome] = []
    lost: set[PciAddress | None] = set()
    driven = stuck = False
    for step in steps:
        # While one of a unit still has its driver, none may be given another (K60).
        held_back = driven and isinstance(step, BindDriver | ProbeDrivers)
        stopped = stoppable and course.stopped
        if stuck or stopped or held_back or step.address in lost:
            outcomes.append(StepOutcome(step, Status.SKIPPED))
            continue
        outcome = yield from _attempt(course, step, lambda: stoppable and course.stopped)
        outcomes.append(outcome)
        if stoppable:
            course.note(outcome)
        if outcome.status not in WELL:
            lost.add(step.address)
            driven = driven or isinstance(step, UnbindDriver)
            stuck = outcome.status is Status.STUCK
    return tuple(outcomes)


def _attempt(course: Course, step: Step, hurry: Callable[[], bool]) -> Script[StepOutcome]:
    try:
        return (yield from perform(step, course.timeout, course.owned, hurry))
    except OverdueError:
        return StepOutcome(step, Status.STUCK)
