"""Finish or undo what a run left half done that was killed, or that a blocked write kept from its end.

The devices say how far it came, not the journal; so it does no harm to break off a recovery and start anew.
"""

from __future__ import annotations

from vfioctl.apply.access import check_writable, opened, read_boot_id
from vfioctl.apply.executor import WELL, Course, blocked_devices, run_as_far_as_possible, skipped
from vfioctl.apply.inflight import await_end
from vfioctl.apply.journal import close_journal, read_unfinished, write_journal
from vfioctl.apply.lock import locked
from vfioctl.apply.recording import record_origins
from vfioctl.apply.signals import deferred
from vfioctl.apply.standing import read_states
from vfioctl.model.address import PciAddress
from vfioctl.plan.outcome import Report, Result
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from vfioctl.apply.port import Port
    from vfioctl.apply.settings import Settings
    from vfioctl.model.binding import Binding, Move
    from vfioctl.plan.outcome import DeviceState, StepOutcome
    from vfioctl.plan.plan import Plan
    from vfioctl.plan.unfinished import Unfinished

_KNOWN_STUCK = 2.0
"""Seconds to wait for a write that was blocked already when its run ended.

One that is not blocked any more may still take one: the kernel sleeps for a second after the last virtual
function is gone, and only then the write of `sriov_numvfs` returns.
"""


def recover(
    plan_for: Callable[[Unfinished], Plan],
    settings: Settings,
    *,
    observe: Callable[[StepOutcome], None],
    port: Port | None = None,
) -> Report | None:
    """Finish or undo what a crash left half done; None: there is no journal.

    ``plan_for`` reads the host and plans for it; it is called once no write of the earlier run is under way,
    or one is blocked. Then nothing is done, and the report says which device it is. The journal stays until
    every device is where it was or where it was to go. ``port`` is for tests.

    Raises:
        LockedError: another vfioctl was at work for longer than the lock timeout.
        RefusedError: the journal is damaged.
        NotPermittedError: this user may not, or sysfs or the state folder is read-only.
        VfioctlError: the state folder cannot be written.

    """
    with locked(settings.state, settings.lock_timeout):
        unfinished = read_unfinished(settings.state)
        if unfinished is None:
            return None
        under_way = await_end(settings.state, _KNOWN_STUCK if unfinished.stuck else settings.timeout)
        plan = plan_for(unfinished)
        # What still blocks is told below, device by device; it is among the refusals as well.
        if plan.refusals and under_way is None:
            return Report(plan, skipped(plan.steps), Result.REFUSED)
        with opened(port, settings.state) as kernel, deferred() as interruption:
            if read_boot_id(kernel) != unfinished.boot_id:
                close_journal(settings.state)
                return Report(plan, (), Result.ALREADY)
            course = Course(kernel, settings.timeout, observe, interruption)
            recovery = _Recovery(plan, unfinished, settings.state, course)
            return recovery.run() if under_way is None else recovery.leave(under_way)


def forget(settings: Settings, *, port: Port | None = None) -> Unfinished | None:
    """Put the journal away with every device where it is; None: there is none.

    For devices that can go neither back nor on, such as one that is broken.

    Raises:
        LockedError: another vfioctl was at work for longer than the lock timeout.
        RefusedError: the journal is damaged.
        NotPermittedError: this user may not, or the state folder is read-only.
        VfioctlError: the state folder cannot be written.

    """
    with locked(settings.state, settings.lock_timeout):
        unfinished = read_unfinished(settings.state)
        if unfinished is None:
            return None
        with opened(port, settings.state) as kernel:
            if read_boot_id(kernel) == unfinished.boot_id:
                states = read_states(kernel, [move.address for move in _moves(unfinished)])
                record_origins(kernel, settings.state, unfinished, states)
        close_journal(settings.state)
        return unfinished


class _Recovery:
    def __init__(self, plan: Plan, unfinished: Unfinished, state: str, course: Course) -> None:
        self._plan = plan
        self._unfinished = unfinished
        self._state = state
        self._course = course

    def leave(self, under_way: Iterable[str]) -> Report:
        """Report what still blocks and touch nothing."""
        moving = [move.address for move in _moves(self._unfinished)]
        named = {address for what in under_way if (address := _device_in(what)) is not None}
        states = read_states(self._course.port, moving, named.intersection(moving))
        return Report(self._plan, skipped(self._plan.steps), Result.STUCK, states)

    def run(self) -> Report:
        """Carry out what can be of the plan; put the journal away if every device has arrived."""
        plan = self._plan
        if plan.steps:
            check_writable(self._course.port)
        modules = run_as_far_as_possible(self._course, [plan.modules], stoppable=True)
        units = run_as_far_as_possible(self._course, [unit.steps for unit in plan.units], stoppable=True)
        outcomes = tuple(outcome for unit in (*modules, *units) for outcome in unit)
        blocked = blocked_devices(outcomes)
        states = read_states(self._course.port, [move.address for move in _moves(self._unfinished)], blocked)
        well = all(outcome.status in WELL for outcome in outcomes)
        if well and _arrived(self._unfinished, plan, states):
            record_origins(self._course.port, self._state, self._unfinished, states)
            close_journal(self._state)
            return Report(plan, outcomes, Result.DONE if outcomes else Result.ALREADY, states)
        return self._report_rest(outcomes, states)

    def _report_rest(self, outcomes: tuple[StepOutcome, ...], states: tuple[DeviceState, ...]) -> Report:
        stuck = any(state.stuck for state in states)
        if stuck != self._unfinished.stuck:
            write_journal(self._state, self._unfinished._replace(stuck=stuck))
        return Report(
            self._plan,
            outcomes,
            Result.STUCK if stuck else Result.PARTIAL,
            states,
            interrupted=self._course.interrupted,
        )


def _moves(unfinished: Unfinished) -> tuple[Move, ...]:
    return tuple(move for moves in unfinished.units for move in moves)


def _arrived(unfinished: Unfinished, plan: Plan, states: Collection[DeviceState]) -> bool:
    """Tell whether every device that is still there is where it was, or where it was to go."""
    ends = {move.address: [move] for move in _moves(unfinished)}
    for move in plan.moves:
        # Where a device stood before its recovery is no end.
        ends[move.address].append(move._replace(before=move.goal))
    return not any(
        state.stuck or (state.binding is not None and not _is_end(state.binding, ends[state.address]))
        for state in states
    )


def _is_end(binding: Binding, moves: Iterable[Move]) -> bool:
    return any(
        binding in {move.before, move.goal}
        or (move.kernel_decides and binding.override == move.goal.override)
        for move in moves
    )


def _device_in(what: str) -> PciAddress | None:
    """Find the device in what a writing process said it does: a path and what is written there."""
    for part in what.replace("/", " ").split():
        address = PciAddress.from_name(part)
        if address is not None:
            return address
    return None
