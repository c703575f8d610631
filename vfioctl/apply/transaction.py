"""A change as a whole: lock, plan, journal, execute, record; or roll back."""

from __future__ import annotations

from time import monotonic, sleep

from vfioctl.apply.access import check_writable, opened, read_boot_id
from vfioctl.apply.executor import Course, run_plan, skipped
from vfioctl.apply.inflight import await_end, is_under_way
from vfioctl.apply.journal import (
    close_journal,
    journal_stands,
    read_unfinished,
    unfinished_from,
    write_journal,
)
from vfioctl.apply.lock import at_work, locked
from vfioctl.apply.recording import record_origins
from vfioctl.apply.settings import STATE, Settings
from vfioctl.apply.signals import deferred
from vfioctl.apply.standing import read_states
from vfioctl.errors import RefusedError, VfioctlError
from vfioctl.lean import suppress
from vfioctl.plan.outcome import Report, Result
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.apply.executor import Run
    from vfioctl.apply.port import Port
    from vfioctl.plan.outcome import StepOutcome
    from vfioctl.plan.plan import Plan
    from vfioctl.plan.unfinished import Unfinished

__all__ = ["STATE", "Settings", "carry_out"]

_PASSING = 2.0
"""Seconds for which another run may be the reason to refuse: a device of its that has left one driver and not
come to the next looks like one whose unbind is blocked, and half a group like one that is not viable."""
_LOOK = 0.1


def carry_out(
    plan_now: Callable[[], Plan],
    settings: Settings,
    *,
    observe: Callable[[StepOutcome], None],
    port: Port | None = None,
) -> Report:
    """Plan under the lock and carry the plan out: all of it, or nothing where that is possible.

    ``plan_now`` reads the host and plans for it. Where there is something to wait for, it is called before
    as well, so that what is refused anyway is refused at once, or in two seconds where another run might be
    what it is refused for. ``observe`` is told of each step as it ends, not of those of a rollback. ``port``
    is for tests.

    Raises:
        LockedError: another vfioctl was at work for longer than the lock timeout.
        RefusedError: the journal of an earlier run stands, or a write of one is still under way.
        NotPermittedError: this user may not, or sysfs or the state folder is read-only; nothing was changed.
        VfioctlError: the state folder cannot be written. If devices have moved by then, the journal stands.

    """
    if (refused := _refused_meanwhile(plan_now, settings)) is not None:
        return refused
    with locked(settings.state, settings.lock_timeout):
        _refuse_unfinished(settings)
        plan = plan_now()
        if plan.refusals:
            return _refused(plan)
        if not plan.steps:
            return Report(plan, (), Result.ALREADY)
        with opened(port, settings.state) as kernel, deferred() as interruption:
            check_writable(kernel)
            unfinished = unfinished_from(plan, read_boot_id(kernel))
            write_journal(settings.state, unfinished)
            course = Course(kernel, settings.timeout, observe, interruption)
            run = run_plan(course, plan)
            end = _finish if run.complete else _undo
            return end(course, plan, run, settings.state, unfinished)


def _refused_meanwhile(plan_now: Callable[[], Plan], settings: Settings) -> Report | None:
    """Refuse what would be refused whoever has the lock; None: wait for the lock, if it is held."""
    worker = at_work(settings.state)
    # Or another run has left something that is not at its end.
    if worker is None and not journal_stands(settings.state) and not is_under_way(settings.state):
        return None
    plan = plan_now()
    if plan.refusals and worker is not None:
        if not _stays(worker, settings):
            return None
        plan = plan_now()
    return _refused(plan) if plan.refusals else None


def _stays(worker: str, settings: Settings) -> bool:
    """Tell whether the same run is still at work after a while."""
    until = monotonic() + min(_PASSING, settings.lock_timeout)
    while monotonic() < until:
        if at_work(settings.state) != worker:
            return False
        sleep(_LOOK)
    return True


def _refused(plan: Plan) -> Report:
    return Report(plan, skipped(plan.steps), Result.REFUSED)


def _refuse_unfinished(settings: Settings) -> None:
    unfinished = read_unfinished(settings.state)
    if unfinished is not None:
        raise RefusedError(
            f"a {unfinished.command} that was started at {unfinished.started} (pid {unfinished.pid}) "
            + ("has a write that was still blocked" if unfinished.stuck else "did not end by itself"),
            hint="finish or undo it first: vfioctl recover",
        )
    under_way = await_end(settings.state, settings.lock_timeout)
    if under_way is not None:
        raise RefusedError(
            "a write of an earlier vfioctl is still under way"
            + (f": {', '.join(under_way)}" if under_way else ""),
            hint="close the program that holds the device, then try again",
        )


def _finish(course: Course, plan: Plan, run: Run, state: str, unfinished: Unfinished) -> Report:
    states = read_states(course.port, [move.address for move in plan.moves])
    # In this order: a crash in between leaves a journal of what is done, and recover records it again.
    record_origins(course.port, state, unfinished, states)
    close_journal(state)
    return Report(plan, run.outcomes, Result.DONE, states)


def _undo(course: Course, plan: Plan, run: Run, state: str, unfinished: Unfinished) -> Report:
    from vfioctl.apply.rollback import roll_back

    undone = roll_back(course, plan, run)
    if undone.result is Result.ROLLED_BACK:
        close_journal(state)
    elif undone.result is Result.STUCK:
        # That it stands is what matters; who is blocked recover sees for itself.
        with suppress(VfioctlError):
            write_journal(state, unfinished._replace(stuck=True))
    return Report(
        plan, undone.outcomes, undone.result, undone.states, undone.undo, interrupted=course.interrupted
    )
