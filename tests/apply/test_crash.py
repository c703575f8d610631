from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.apply.driving import (
    NIC,
    VFIO,
    bind_plan,
    do,
    on_vfio,
    plan_of,
    recovery_plan,
    redo,
    unbind_plan,
    workstation,
)
from tests.support.fake_kernel import BOOT_ID, Crash, Fault
from vfioctl.apply.inflight import InFlight
from vfioctl.apply.journal import read_unfinished, unfinished_from, write_journal
from vfioctl.apply.records import read_records, write_records
from vfioctl.apply.recovery import forget, recover
from vfioctl.apply.settings import Settings
from vfioctl.apply.state import prepare
from vfioctl.errors import RefusedError
from vfioctl.model.address import PciAddress
from vfioctl.model.binding import Binding, Record
from vfioctl.plan.outcome import Result, Status
from vfioctl.plan.plan import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fake_kernel import FakeKernel
    from vfioctl.plan.outcome import StepOutcome
    from vfioctl.plan.plan import Plan
    from vfioctl.plan.unfinished import Unfinished

ANY: Final = (object,)
RECORDS: Final = tuple(
    Record(PciAddress.parse(name), device.vendor, device.device, device.binding)
    for name, device in sorted(workstation().devices.items())
)
"""What bind recorded before the unbind of these tests."""

WAYS = {
    "bind": (workstation, bind_plan, (), RECORDS),
    "unbind": (on_vfio, unbind_plan, RECORDS, ()),
}
"""A machine, a plan of at least 8 steps over several units, the records before and after it."""

way_of = pytest.mark.parametrize("way", WAYS)


class _Files:
    """Crashes the caller before it touches a state file for the n-th time."""

    EVENTS: Final = {"open", "os.rename", "os.remove", "os.truncate"}

    def __init__(self) -> None:
        self.left: int | None = None
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        """Count; the hook of a process cannot be taken away again."""
        if self.left is None or event not in self.EVENTS or "vfioctl" not in str(arguments[0]):
            return
        self.left -= 1
        if self.left < 0:
            self.left = None
            raise Crash


FILES: Final = _Files()


def begin(way: str, state: str) -> tuple[FakeKernel, Callable[[FakeKernel], Plan], dict[str, Binding]]:
    """Return a machine, a plan for it, and where every device is to be in the end."""
    build, plan, records, _ = WAYS[way]
    shutil.rmtree(state, ignore_errors=True)
    if records:
        prepare(state)
        write_records(state, BOOT_ID, records)
    kernel = build()
    goals = kernel.bindings | {str(move.address): move.goal for move in plan(kernel).moves}
    return kernel, plan, goals


def check_recovered(way: str, kernel: FakeKernel, state: str, ends: dict[str, dict[str, Binding]]) -> None:
    """Recover, and find everything where it was or where it was to go, and the records of that."""
    again = redo(kernel.again(), state)

    assert again is None or again.exit_code == 0
    assert read_unfinished(state) is None
    assert kernel.bindings in ends.values()
    _, _, before, after = WAYS[way]
    expected = before if kernel.bindings == ends["before"] else after
    assert read_records(state, BOOT_ID) == expected
    assert redo(kernel, state) is None, "nothing is left to recover"


@pytest.mark.no_cover
@way_of
def test_after_a_crash_at_any_command_recover_ends_it(way: str, state: str) -> None:
    """Before and after each of them, reads too: 100 % end where everything was, or where it was to go."""
    kernel, plan, goals = begin(way, state)
    ends = {"before": kernel.bindings, "after": goals}
    kernel.counted = ANY
    do(kernel, plan, state)
    commands, seen = len(kernel.commands), set()

    for number in range(commands):
        for happens in (False, True):
            kernel, plan, _ = begin(way, state)
            kernel.counted, kernel.faults = ANY, {number: Fault(crash=True, happens=happens)}
            with pytest.raises(Crash):
                do(kernel, plan, state)
            check_recovered(way, kernel, state, ends)
            seen.add(kernel.bindings == goals)

    assert commands > 50
    assert seen == {True, False}, "the last crashes come after the last effect"


@pytest.mark.no_cover
@way_of
def test_after_a_crash_at_any_state_file_recover_ends_it(way: str, state: str) -> None:
    """Before each open, rename and removal in the state folder, the lock's too."""
    crashes = 0
    while True:
        kernel, plan, goals = begin(way, state)
        ends = {"before": kernel.bindings, "after": goals}
        FILES.left = crashes
        try:
            do(kernel, plan, state)
        except Crash:
            check_recovered(way, kernel, state, ends)
            crashes += 1
            continue
        finally:
            FILES.left = None
        break

    assert crashes > 8


@given(
    way=st.sampled_from(sorted(WAYS)),
    crashes=st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=2, max_size=4),
    files=st.none() | st.integers(0, 12),
    failure=st.none() | st.tuples(st.integers(0, 40), st.sampled_from([errno.EINVAL, errno.EIO])),
    finish=st.booleans(),
)
def test_recover_can_crash_too(
    tmp_path_factory: pytest.TempPathFactory,
    way: str,
    crashes: list[tuple[int, bool]],
    files: int | None,
    failure: tuple[int, int] | None,
    finish: bool,
) -> None:
    """One crash after the other, in the run, in its rollback and in every recovery, undoing or finishing."""
    state = str(tmp_path_factory.mktemp("vfioctl"))
    kernel, plan, goals = begin(way, state)
    ends = {"before": kernel.bindings, "after": goals}
    (first, happens), *more = crashes
    kernel.faults = {failure[0]: Fault(failure[1])} if failure else {}
    kernel.faults[first] = Fault(crash=True, happens=happens)
    crashed = _until_crash(lambda: do(kernel, plan, state))

    for number, happens in more:
        kernel.again().faults = {number % 20: Fault(crash=True, happens=happens)}
        FILES.left = files
        crashed = _until_crash(lambda: redo(kernel, state, finish=finish)) or crashed

    check_recovered(way, kernel, state, ends)


def _until_crash(run: Callable[[], object]) -> bool:
    try:
        run()
    except Crash:
        return True
    finally:
        FILES.left = None
    return False


@pytest.mark.no_cover
@way_of
def test_finishing_goes_on_to_the_goal(way: str, state: str) -> None:
    """From any crash, when that is asked for."""
    kernel, plan, goals = begin(way, state)
    steps = len(plan(kernel).steps)
    for number in range(2, steps):
        kernel, plan, goals = begin(way, state)
        kernel.faults = {number: Fault(crash=True)}
        with pytest.raises(Crash):
            do(kernel, plan, state)

        report = redo(kernel.again(), state, finish=True)

        assert report is not None
        assert report.exit_code == 0
        assert kernel.bindings == goals
        assert read_records(state, BOOT_ID) == WAYS[way][3]


def test_without_a_journal_there_is_nothing_to_recover(state: str) -> None:
    """Nor to forget."""
    assert redo(workstation(), state) is None
    assert forget(Settings(state=state), port=workstation()) is None


def test_another_boot_has_assigned_drivers_anew(state: str) -> None:
    """Nothing is done, nothing recorded; the journal is put away."""
    kernel = crashed(state)
    kernel.boot_id = "another"
    before = kernel.bindings

    report = redo(kernel, state)

    assert report is not None
    assert (report.result, kernel.bindings, kernel.writes) == (Result.ALREADY, before, [])
    assert read_unfinished(state) is None
    assert read_records(state, "another") == ()


def crashed(state: str, at: int = 12) -> FakeKernel:
    """Return a machine on which bind was killed."""
    kernel = workstation()
    kernel.faults = {at: Fault(crash=True)}
    with pytest.raises(Crash):
        do(kernel, bind_plan, state)
    return kernel.again()


def test_while_a_journal_stands_nothing_else_is_begun(state: str) -> None:
    """Exit 4, with the command that helps."""
    kernel = crashed(state)

    with pytest.raises(RefusedError, match="did not end by itself") as caught:
        do(kernel, bind_plan, state)

    assert "vfioctl recover" in caught.value.hint
    assert kernel.commands == []


def test_what_cannot_be_brought_back_is_said_and_the_rest_is(state: str) -> None:
    """One device that no driver takes: the others go back, exit 8, the journal stays for another try."""
    kernel = crashed(state, 20)
    before = workstation().bindings
    kernel.devices[NIC].refused = {"e1000e": errno.EIO}

    report = redo(kernel, state)

    assert report is not None
    assert (report.result, report.exit_code) == (Result.PARTIAL, 8)
    assert kernel.bindings == before | {NIC: Binding(None, None)}
    assert [(str(one.step.address), one.errno) for one in report.outcomes if one.status is Status.FAILED] == [
        (NIC, errno.EIO)
    ]
    assert read_unfinished(state) is not None
    kernel.devices[NIC].refused = {}
    again = redo(kernel.again(), state)
    assert again is not None
    assert (again.result, kernel.bindings) == (Result.DONE, before)


def test_a_device_that_is_nowhere_it_should_be_keeps_the_journal(state: str) -> None:
    """Every step may be done, and yet one device be left out: what another program's unbind blocks (K55)."""
    kernel = crashed(state, 16)

    def without_steps(unfinished: Unfinished) -> Plan:
        plan = recovery_plan(kernel, unfinished)
        return plan._replace(units=tuple(unit._replace(steps=()) for unit in plan.units))

    report = recover(without_steps, Settings(state=state), observe=lambda _: None, port=kernel)

    assert report is not None
    assert (report.result, report.exit_code) == (Result.PARTIAL, 8)
    assert read_unfinished(state) is not None


def test_what_cannot_be_brought_back_can_be_forgotten(state: str) -> None:
    """The journal goes, nothing is written; where devices on vfio-pci came from is recorded."""
    kernel = crashed(state, 20)
    before = kernel.bindings

    forgotten = forget(Settings(state=state), port=kernel)

    assert forgotten is not None
    assert forgotten.command == "bind"
    assert (kernel.bindings, kernel.writes) == (before, [])
    assert read_unfinished(state) is None
    recorded = {str(record.address): record.origin for record in read_records(state, BOOT_ID)}
    assert recorded == {
        name: origin
        for name, origin in workstation().bindings.items()
        if before[name] != origin and before[name].driver in {None, "vfio-pci"}
    }


def test_a_recovery_that_is_refused_leaves_the_journal(state: str) -> None:
    """A VM has taken a device in the meantime: nothing is written."""
    kernel = crashed(state)
    finding = Finding("vm", Severity.REFUSE, None, "VM web1 holds it", "shut it down")

    report = recover(
        lambda unfinished: recovery_plan(kernel, unfinished)._replace(findings=(finding,)),
        Settings(state=state),
        observe=lambda _: None,
        port=kernel,
    )

    assert report is not None
    assert (report.result, report.exit_code, kernel.writes) == (Result.REFUSED, 4, [])
    assert read_unfinished(state) is not None


def test_recover_touches_nothing_while_a_write_is_under_way(state: str) -> None:
    """A write of the killed run that still blocks is named and left alone; afterwards all is well (K55)."""
    kernel = crashed(state)
    before = workstation().bindings
    kernel.devices[NIC].driver = None
    entry = InFlight(state, 3, os.getppid())
    assert entry.begin(f"/sys/bus/pci/drivers/e1000e/unbind {NIC}")

    report = recover(
        lambda unfinished: recovery_plan(kernel, unfinished),
        Settings(timeout=0.05, state=state),
        observe=lambda _: None,
        port=kernel,
    )

    assert report is not None
    assert (report.result, report.exit_code, kernel.writes) == (Result.STUCK, 8, [])
    assert {outcome.status for outcome in report.outcomes} == {Status.SKIPPED}
    assert [(str(one.address), one.binding) for one in report.states if one.stuck] == [(NIC, None)]
    assert read_unfinished(state) is not None

    entry.end()
    again = redo(kernel.again(), state)
    entry.close()

    assert again is not None
    assert (again.result, kernel.bindings) == (Result.DONE, before)


@pytest.mark.slow
def test_a_write_that_was_blocked_and_has_a_second_to_go_is_waited_for(state: str) -> None:
    """The last virtual function is gone by then, and the kernel sleeps before the write returns."""
    kernel = crashed(state)
    unfinished = read_unfinished(state)
    assert unfinished is not None
    write_journal(state, unfinished._replace(stuck=True))
    entry = InFlight(state, 3, os.getppid())
    assert entry.begin(f"/sys/bus/pci/drivers/e1000e/unbind {NIC}")
    ending = threading.Timer(1.0, entry.end)
    ending.start()

    report = redo(kernel.again(), state)

    ending.join()
    entry.close()
    assert report is not None
    assert report.result is Result.DONE


def test_nothing_is_begun_while_a_write_is_under_way(state: str) -> None:
    """Also where nobody left a journal."""
    prepare(state)
    entry = InFlight(state, 0, os.getppid())
    entry.begin("modules")

    with pytest.raises(RefusedError, match="under way"):
        do(workstation(), bind_plan, state)

    entry.close()
    assert do(workstation(), bind_plan, state).result is Result.DONE


def test_a_stuck_recovery_is_marked_so(state: str) -> None:
    """The journal then says why it stands, and a later recovery does not wait long for it."""
    kernel = on_vfio()
    prepare(state)
    plan = plan_of("bind", workstation(), {NIC: VFIO}, units=[[NIC]])
    write_journal(state, unfinished_from(plan, BOOT_ID))
    kernel.devices[NIC].override = "other"
    kernel.devices[NIC].held = True

    report = redo(kernel, state)

    assert report is not None
    assert report.result is Result.STUCK
    unfinished = read_unfinished(state)
    assert unfinished is not None
    assert unfinished.stuck
    assert [str(one.address) for one in report.states if one.stuck] == [NIC]


def test_an_interrupted_recovery_can_be_begun_again(state: str) -> None:
    """After every step: exit 8, for nothing was rolled back, and the journal stands."""
    kernel = crashed(state, 20)
    before = workstation().bindings

    def interrupt(_outcome: StepOutcome) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    rounds = 0
    while read_unfinished(state) is not None:
        left = sum(kernel.bindings[name] != before[name] for name in before)
        report = recover(
            lambda unfinished: recovery_plan(kernel, unfinished),
            Settings(state=state),
            observe=interrupt,
            port=kernel.again(),
        )
        assert report is not None
        assert sum(kernel.bindings[name] != before[name] for name in before) <= left
        if report.result is not Result.DONE:
            assert (report.result, report.interrupted, report.exit_code) == (Result.PARTIAL, True, 8)
        rounds += 1

    assert rounds > 2
    assert kernel.bindings == before
