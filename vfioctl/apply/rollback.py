"""Back to where everything was, from wherever it is now."""

from __future__ import annotations

from vfioctl.apply.effects import give_back
from vfioctl.apply.executor import WELL, blocked_devices, run_as_far_as_possible
from vfioctl.apply.lanes import OverdueError, Within, run_scripts
from vfioctl.apply.standing import read_states
from vfioctl.model.value import NamedTuple
from vfioctl.plan.outcome import Result, Status
from vfioctl.plan.transition import transition
from vfioctl.plan.undoing import Apart, undoing
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from collections.abc import Set as AbstractSet

    from vfioctl.apply.effects import Owned
    from vfioctl.apply.executor import Course, Outcomes, Run
    from vfioctl.apply.lanes import Script
    from vfioctl.model.address import PciAddress
    from vfioctl.plan.outcome import DeviceState, StepOutcome
    from vfioctl.plan.plan import Plan, Unit
    from vfioctl.plan.steps import Step


class Undone(NamedTuple):
    """How a rollback ended."""

    outcomes: Outcomes
    """Of the plan's steps: what was rolled back is now undone."""
    undo: Outcomes
    """Of the steps of the rollback."""
    states: tuple[DeviceState, ...]
    result: Result


def roll_back(course: Course, plan: Plan, run: Run) -> Undone:
    """Bring every device back to where it was before the plan, where that can be done.

    A unit with a write that has not come back stays as it is: none of its devices may get a driver while one
    may still have its own (K60), and whatever touches the blocked one blocks as well (K55).
    """
    blocked = blocked_devices(run.outcomes)
    _give_back_nodes(course, blocked)
    moving = [move.address for move in plan.moves]
    found = {state.address: state for state in read_states(course.port, moving, blocked)}
    ways = [steps for unit in plan.units if (steps := _way_back(unit, found))]
    undo = tuple(
        outcome for unit in run_as_far_as_possible(course, ways, stoppable=False) for outcome in unit
    )
    blocked |= blocked_devices(undo)
    states = read_states(course.port, moving, blocked) if undo else tuple(found.values())
    apart = _take_back(course, run)
    result = _result(plan, states)
    if result is Result.ROLLED_BACK:
        result = _result_apart(run, apart)
    return Undone(_marked(plan, run, states, apart), (*undo, *apart), states, result)


def _take_back(course: Course, run: Run) -> Outcomes:
    """Take back what was done apart from bindings: as much of it as can be."""
    taken: list[StepOutcome] = []
    for unit in run.units:
        for step in undoing(unit):
            ((outcome,),) = run_as_far_as_possible(course, [[step]], stoppable=False)
            taken.append(outcome)
            if outcome.status is Status.STUCK:
                return tuple(taken)
    return tuple(taken)


def _result_apart(run: Run, undo: Outcomes) -> Result:
    stuck = (outcome for outcome in (*run.outcomes, *undo) if outcome.status is Status.STUCK)
    if any(isinstance(outcome.step, Apart) for outcome in stuck):
        return Result.STUCK
    return Result.ROLLED_BACK if all(outcome.status in WELL for outcome in undo) else Result.PARTIAL


def _way_back(unit: Unit, found: dict[PciAddress, DeviceState]) -> tuple[Step, ...]:
    """Return the steps from where a unit's devices stand to where they were."""
    if any(found[move.address].stuck for move in unit.moves):
        return ()
    moves = []
    for move in unit.moves:
        now = found[move.address].binding
        # What is gone cannot be brought back.
        if now is not None and now != move.before:
            moves.append(move._replace(before=now, goal=move.before, kernel_decides=False))
    return transition(moves)


def _give_back_nodes(course: Course, blocked: AbstractSet[PciAddress]) -> None:
    """Give nodes back what they had; those of devices that were not on VFIO before are about to go anyway."""
    free = [one for one in reversed(course.owned) if not blocked & set(one.step.members)]
    run_scripts(course.port, [_give_back(course, one) for one in free])


def _give_back(course: Course, owned: Owned) -> Script[None]:
    yield Within(course.timeout)
    try:
        yield from give_back(owned)
    except OverdueError:
        return


def _marked(plan: Plan, run: Run, states: Iterable[DeviceState], apart: Outcomes) -> Outcomes:
    """Return the plan's outcomes, with what is undone marked so."""
    back = _at_before(plan, states)
    if apart and all(outcome.status in WELL for outcome in apart):
        back |= {outcome.step.address for outcome in apart if outcome.step.address is not None}
    return tuple(
        outcome._replace(status=Status.UNDONE) if _is_undone(outcome, back) else outcome
        for outcome in run.outcomes
    )


def _is_undone(outcome: StepOutcome, back: AbstractSet[PciAddress]) -> bool:
    # A module stays loaded.
    address = outcome.step.address
    return outcome.status in WELL and address is not None and address in back


def _at_before(plan: Plan, states: Iterable[DeviceState]) -> set[PciAddress]:
    before = {move.address: move.before for move in plan.moves}
    return {state.address for state in states if state.binding == before[state.address]}


def _result(plan: Plan, states: Collection[DeviceState]) -> Result:
    if any(state.stuck for state in states):
        return Result.STUCK
    return Result.ROLLED_BACK if len(_at_before(plan, states)) == len(states) else Result.PARTIAL
