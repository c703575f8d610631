from __future__ import annotations

import errno
import os
import random
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.apply.driving import (
    AUDIO,
    EHCI,
    FREE,
    GPU,
    NIC,
    PARKED,
    TIMEOUT,
    UHCI_1,
    UHCI_2,
    VFIO,
    bind_plan,
    do,
    on_vfio,
    plan_of,
    redo,
    told,
    unbind_plan,
    workstation,
)
from tests.support.fake_kernel import BOOT_ID, Device, Fault, PanicError, machine
from vfioctl.apply import transaction
from vfioctl.apply.journal import read_unfinished
from vfioctl.apply.lanes import LANES
from vfioctl.apply.lock import locked
from vfioctl.apply.port import OpenToWrite, ReadLink, ReadText, SetOwner
from vfioctl.apply.records import read_records
from vfioctl.errors import LockedError, NotPermittedError, RefusedError
from vfioctl.model.address import PciAddress
from vfioctl.model.binding import Binding, Move
from vfioctl.plan.outcome import Result, Status
from vfioctl.plan.plan import Finding, Severity, Unit
from vfioctl.plan.steps import BindDriver, LoadModule, OwnNode, SetOverride, UnbindDriver

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fake_kernel import FakeKernel
    from vfioctl.plan.outcome import StepOutcome
    from vfioctl.plan.plan import Plan

ERRORS = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENODEV,
    errno.ENOENT,
    errno.EINVAL,
    errno.EBUSY,
    errno.EAGAIN,
    errno.EIO,
    errno.ENOMEM,
)
"""What writes to these attributes can answer (kernel.md, section 10)."""

_UHCI = PciAddress.parse(UHCI_1)

WAYS = {"bind": (workstation, bind_plan), "unbind": (on_vfio, unbind_plan)}
"""A machine and a plan for it: the first of at least 8 steps over several units in either direction."""

way_of = pytest.mark.parametrize(("build", "plan"), WAYS.values(), ids=WAYS)


def effects_of(build: Callable[[], FakeKernel], plan: Callable[[FakeKernel], Plan]) -> int:
    """Return how many effects a plan has."""
    steps = plan(build()).steps
    return len(steps) + sum(isinstance(step, OwnNode) for step in steps)  # there are two nodes for it


def records_of(kernel: FakeKernel, state: str) -> dict[str, Binding]:
    """Return the recorded origins."""
    return {str(record.address): record.origin for record in read_records(state, kernel.boot_id)}


@way_of
def test_a_plan_is_carried_out(
    build: Callable[[], FakeKernel], plan: Callable[[FakeKernel], Plan], state: str
) -> None:
    """Every step once, in its unit's order; every device where it was to go; then there is nothing to do."""
    kernel = build()
    wanted = plan(kernel)
    seen: list[StepOutcome] = []

    report = do(kernel, plan, state, observe=seen.append)

    assert len(wanted.steps) >= 8
    assert (report.result, report.exit_code) == (Result.DONE, 0)
    assert [outcome.step for outcome in report.outcomes] == list(wanted.steps)
    assert {outcome.status for outcome in report.outcomes} == {Status.DONE}
    assert sorted(map(str, seen)) == sorted(map(str, report.outcomes))
    assert told(report) == kernel.bindings == {str(move.address): move.goal for move in wanted.moves}
    assert read_unfinished(state) is None
    assert do(kernel, plan, state).result is Result.ALREADY


def test_steps_of_a_unit_keep_their_order_and_units_run_side_by_side(state: str) -> None:
    """Whatever order answers come in; modules before everything."""
    for seed in range(20):
        kernel = workstation()
        kernel.jumble = random.Random(seed)  # noqa: S311 - an order of answers
        report = do(kernel, bind_plan, f"{state}{seed}")
        writes = [(path, text.strip()) for path, text in kernel.writes]

        assert report.result is Result.DONE
        assert kernel.most_lanes > 1
        for unit in report.plan.units:
            expected = [(step.path, step.value) for step in unit.steps if not isinstance(step, OwnNode)]
            assert [write for write in writes if write in expected] == expected


@pytest.mark.parametrize(("slowness", "lanes"), [(0.0, 1), (0.1, LANES)])
def test_no_more_than_so_many_are_under_way(slowness: float, lanes: int, state: str) -> None:
    """64 virtual functions are one transaction; side by side where the kernel takes its time."""
    names = [f"0000:01:{number // 8:02x}.{number % 8}" for number in range(64)]
    kernel = machine([Device(name, group, driver="e1000e") for group, name in enumerate(names)])
    kernel.slowness = slowness

    report = do(
        kernel,
        lambda kernel: plan_of("bind", kernel, dict.fromkeys(names, VFIO), units=[[name] for name in names]),
        state,
    )

    assert report.result is Result.DONE
    assert kernel.most_lanes == lanes
    assert set(kernel.bindings.values()) == {VFIO}


def test_a_plan_in_the_wrong_order_would_panic(state: str) -> None:
    """The machine of these tests has K60: that none of them panics means something."""
    wrong = (SetOverride(_UHCI, "vfio-pci"), UnbindDriver(_UHCI, "uhci_hcd"), BindDriver(_UHCI, "vfio-pci"))
    unit = Unit((Move(_UHCI, Binding("uhci_hcd", None), VFIO),), wrong)

    with pytest.raises(PanicError):
        do(workstation(), lambda kernel: bind_plan(kernel)._replace(units=(unit,)), state)


@pytest.mark.no_cover
@way_of
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize("happens", [False, True], ids=["without", "with-effect"])
def test_whatever_fails_everything_goes_back(
    build: Callable[[], FakeKernel],
    plan: Callable[[FakeKernel], Plan],
    error: int,
    happens: bool,
    state: str,
) -> None:
    """Every step with each errno: exit 7 and the first state, or done because the effect is there."""
    for number in range(effects_of(build, plan)):
        kernel = build()
        before, goals = kernel.bindings, {str(move.address): move.goal for move in plan(kernel).moves}
        owners = dict(kernel.owners)
        kernel.faults = {number: Fault(error, happens=happens)}
        report = do(kernel, plan, state)

        assert told(report) == kernel.bindings
        assert read_unfinished(state) is None
        if report.result is Result.DONE:
            assert error in {errno.EAGAIN, errno.EBUSY, errno.ENODEV, errno.ENOENT}, (
                "asked again, or there already"
            )
            assert kernel.bindings == goals
            os.unlink(f"{state}/drivers.json") if records_of(kernel, state) else None
            continue
        assert (report.result, report.exit_code) == (Result.ROLLED_BACK, 7)
        assert kernel.bindings == before
        assert kernel.owners == owners
        assert records_of(kernel, state) == {}
        (failed,) = [outcome for outcome in report.outcomes if outcome.status is Status.FAILED]
        assert failed.errno == (None if isinstance(failed.step, LoadModule) else error)
        assert {outcome.status for outcome in report.outcomes if outcome.step.address} <= {
            Status.FAILED,
            Status.UNDONE,
            Status.SKIPPED,
        }


@way_of
def test_a_kernel_that_says_yes_and_does_nothing_is_found_out(
    build: Callable[[], FakeKernel], plan: Callable[[FakeKernel], Plan], state: str
) -> None:
    """Every effect is read back (K4, K8): no errno then, but what was seen instead."""
    for number in range(effects_of(build, plan)):
        kernel = build()
        before = kernel.bindings
        kernel.faults = {number: Fault()}
        report = do(kernel, plan, state)

        assert (report.result, kernel.bindings) == (Result.ROLLED_BACK, before)
        (failed,) = [outcome for outcome in report.outcomes if outcome.status is Status.FAILED]
        assert failed.errno is None
        assert failed.seen


@given(
    way=st.sampled_from(sorted(WAYS)),
    faults=st.dictionaries(
        st.integers(0, 60),
        st.builds(Fault, st.none() | st.sampled_from(ERRORS), happens=st.booleans())
        | st.builds(Fault, hang=st.just(True), happens=st.booleans()),
        min_size=1,
        max_size=6,
    ),
    old=st.booleans(),
    seed=st.none() | st.integers(0, 9),
)
def test_the_printed_state_is_the_real_one(
    tmp_path_factory: pytest.TempPathFactory, way: str, faults: dict[int, Fault], old: bool, seed: int | None
) -> None:
    """Whatever fails or hangs, also on the way back: what is said is so, and recover brings all back."""
    state = str(tmp_path_factory.mktemp("state"))
    build, plan = WAYS[way]
    kernel = build()
    kernel.faults, kernel.old = faults, old
    kernel.jumble = None if seed is None else random.Random(seed)  # noqa: S311 - an order
    before, goals = kernel.bindings, {str(move.address): move.goal for move in plan(kernel).moves}

    report = do(kernel, plan, state)

    for name, binding in told(report).items():
        assert binding in {kernel.bindings[name], None}
        assert binding is not None or report.result is Result.STUCK
    ends = {Result.DONE: goals, Result.ROLLED_BACK: before}
    assert kernel.bindings == ends.get(report.result, kernel.bindings)
    assert (read_unfinished(state) is None) == (report.result in ends)
    if report.result not in ends:
        assert report.exit_code == 8
        again = redo(kernel.again(), state)
        assert again is not None
        assert again.exit_code == 0
        assert kernel.bindings in (before, goals)
        assert read_unfinished(state) is None


def test_on_the_way_back_none_is_bound_while_another_cannot_leave(state: str) -> None:
    """K60: better three functions without a driver, which is said, than a panic later."""
    kernel = workstation()
    unbinds = ("/sys/bus/pci/drivers/vfio-pci/unbind", UHCI_1)
    kernel.devices[EHCI].refused = {"vfio-pci": errno.EIO}
    kernel.refused_writes = {unbinds: errno.EIO}

    report = do(kernel, bind_plan, state)

    assert (report.result, report.exit_code) == (Result.PARTIAL, 8)
    assert told(report) == kernel.bindings
    assert {name: kernel.devices[name].driver for name in (UHCI_1, UHCI_2, EHCI)} == {
        UHCI_1: "vfio-pci",
        UHCI_2: None,
        EHCI: None,
    }
    skipped = [one.step for one in report.undo if one.status is Status.SKIPPED]
    assert [type(step) for step in skipped] == [BindDriver] * 3


def test_a_deferred_probe_is_asked_again_for_as_long_as_the_timeout(state: str) -> None:
    """EAGAIN is no failure (K2), for a while."""
    kernel = workstation()
    kernel.devices[NIC].deferred = {"vfio-pci": 4}
    began = kernel.now()

    assert do(kernel, bind_plan, state).result is Result.DONE
    assert 0.5 < kernel.now() - began < 2

    kernel = workstation()
    kernel.devices[NIC].deferred = {"vfio-pci": 10_000}
    before, began = kernel.bindings, kernel.now()
    report = do(kernel, bind_plan, f"{state}2")

    assert (report.result, kernel.bindings) == (Result.ROLLED_BACK, before)
    assert [one.errno for one in report.outcomes if one.status is Status.FAILED] == [errno.EAGAIN]
    assert TIMEOUT - 2 < kernel.now() - began < TIMEOUT + 2


@way_of
def test_a_write_that_never_comes_back_is_left(
    build: Callable[[], FakeKernel], plan: Callable[[FakeKernel], Plan], state: str
) -> None:
    """At every step: exit 8 at the timeout, the device named, other units rolled back, the journal kept."""
    for number in range(2 if plan is bind_plan else 0, len(plan(build()).steps)):
        kernel = build()
        before, began = kernel.bindings, kernel.now()
        kernel.faults = {number: Fault(hang=True)}
        report = do(kernel, plan, f"{state}{number}")

        assert kernel.now() - began <= TIMEOUT + 0.1
        stuck = [outcome for outcome in report.outcomes if outcome.status is Status.STUCK]
        if isinstance(stuck[0].step, OwnNode):  # no device hangs on a node
            assert (report.result, kernel.bindings) == (Result.ROLLED_BACK, before)
            continue
        assert (report.result, report.exit_code, len(stuck)) == (Result.STUCK, 8, 1)
        assert [state.address for state in report.states if state.stuck] == [stuck[0].step.address]
        unit = next(unit for unit in report.plan.units if stuck[0].step in unit.steps)
        mine = {str(move.address) for move in unit.moves}
        assert {name: kernel.bindings[name] for name in before.keys() - mine} == {
            name: before[name] for name in before.keys() - mine
        }
        writes = [path + text for path, text in kernel.writes]
        after = writes[writes.index(stuck[0].step.path + stuck[0].step.value) + 1 :]
        assert not [text for text in after if any(name in text for name in mine)]
        unfinished = read_unfinished(f"{state}{number}")
        assert unfinished is not None
        assert unfinished.stuck
        with pytest.raises(RefusedError, match="blocked") as caught:
            do(kernel, plan, f"{state}{number}")
        assert "vfioctl recover" in caught.value.hint


@pytest.mark.parametrize("old", [False, True], ids=["6.12", "6.1"])
def test_a_held_device_is_stuck_until_its_holder_leaves(old: bool, state: str) -> None:
    """K33, K55: nothing of it is touched; recover says so again; afterwards it ends clean."""
    kernel = on_vfio()
    kernel.old = old
    kernel.devices[NIC].held = True
    before = kernel.bindings

    report = do(kernel, unbind_plan, state)

    assert (report.result, report.exit_code) == (Result.STUCK, 8)
    assert {name: binding for name, binding in told(report).items() if name != NIC} == {
        name: binding for name, binding in before.items() if name != NIC
    }
    touched = [path for path, text in kernel.writes if NIC in path + text]
    assert touched[-1].endswith("/unbind")

    kernel.release(NIC)
    again = redo(kernel.again(), state)

    assert again is not None
    assert (again.result, kernel.bindings) == (Result.DONE, before)
    assert redo(kernel, state) is None


def test_the_modules_alone_can_fail_without_a_trace(state: str) -> None:
    """What modprobe said is kept; no device was touched. The same when it hangs."""
    for fault in (Fault(errno.EIO), Fault(hang=True)):
        kernel = workstation()
        before = kernel.bindings
        kernel.faults = {1: fault}
        report = do(kernel, bind_plan, state)

        assert (report.result, report.exit_code, report.undo) == (Result.ROLLED_BACK, 7, ())
        assert (kernel.bindings, kernel.writes) == (before, [])

    kernel = workstation()
    del kernel.modules["vfio_pci"]
    report = do(kernel, bind_plan, state)
    assert report.outcomes[1].seen == "modprobe: FATAL: Module vfio_pci not found."


def test_a_module_that_takes_a_device_by_itself_is_welcome(state: str) -> None:
    """K10: an override that stood, and the module that it waited for."""
    kernel = workstation()
    kernel.devices[PARKED].override = "vfio-pci"
    before = kernel.bindings

    report = do(kernel, bind_plan, state)

    assert report.result is Result.DONE
    own = [one for one in report.outcomes if one.step == BindDriver(PciAddress.parse(PARKED), "vfio-pci")]
    assert [one.status for one in own] == [Status.ALREADY]

    kernel = workstation()
    kernel.devices[PARKED].override = "vfio-pci"
    kernel.faults = {len(report.outcomes) - 1: Fault(errno.EINVAL)}
    assert do(kernel, bind_plan, f"{state}2").result is Result.ROLLED_BACK
    assert kernel.bindings == before


def test_the_kernel_decides(state: str) -> None:
    """drivers_probe: whichever driver comes, and none, are answers; VFIO's is not (K4, K11)."""
    for free, expected in (("e1000e", "e1000e"), ("", None)):
        kernel = on_vfio()
        kernel.devices[NIC].matches = (free,) if free else ()
        report = do(kernel, _decide_nic, f"{state}{free}")
        assert (report.result, kernel.devices[NIC].binding) == (Result.DONE, Binding(expected, None))

    kernel = on_vfio()
    kernel.devices[NIC].matches, kernel.devices[NIC].vfio_id = (), True
    report = do(kernel, _decide_nic, f"{state}3")
    assert (report.outcomes[-1].status, report.outcomes[-1].seen) == (Status.FAILED, "vfio-pci")
    assert (report.result, kernel.devices[NIC].binding) == (Result.ROLLED_BACK, VFIO)


def _decide_nic(kernel: FakeKernel) -> Plan:
    goals = {NIC: Binding(None, None)}
    return plan_of("unbind", kernel, goals, units=[[NIC]], kernel_decides=True)


def test_a_sibling_in_use_sends_everything_back(state: str) -> None:
    """K21: EBUSY from bind, and the sibling would stay driverless."""
    kernel = on_vfio()
    kernel.devices[GPU].held = True
    before = kernel.bindings
    goals = {AUDIO: Binding("snd_hda_intel", None)}

    report = do(kernel, lambda kernel: plan_of("unbind", kernel, goals, units=[[AUDIO]]), state)

    assert [one.errno for one in report.outcomes if one.status is Status.FAILED] == [errno.EBUSY]
    assert (report.result, kernel.bindings) == (Result.ROLLED_BACK, before)


def test_a_device_that_is_gone_is_told_so(state: str) -> None:
    """Unplugged in the middle: the others go back; it has no state."""
    kernel = workstation()
    before = kernel.bindings

    def unplug(outcome: StepOutcome) -> None:
        if outcome.step == UnbindDriver(PciAddress.parse(NIC), "e1000e"):
            kernel.devices[NIC].present = False

    report = do(kernel, bind_plan, state, observe=unplug)

    assert report.result is Result.PARTIAL
    assert told(report) == {**before, NIC: None}
    assert not any(one.stuck for one in report.states)
    again = redo(kernel.again(), state)
    assert again is not None
    assert again.result is Result.ALREADY
    assert read_unfinished(state) is None


def test_owner_and_mode_reach_every_node(state: str) -> None:
    """The group's and the function's own (K27)."""
    kernel = workstation()

    do(kernel, bind_plan, state)

    assert {path: owner for path, owner in kernel.owners.items() if owner != "0 0 0600"} == {
        "/dev/vfio/9": "1000 0 0660",
        "/dev/vfio/devices/vfio5": "1000 0 0660",
    }


def test_nodes_that_were_there_get_back_what_they_had(state: str) -> None:
    """A unit that only changes hands is rolled back like any other."""
    kernel = on_vfio()
    kernel.owners["/dev/vfio/9"] = "7 8 0640"
    own = OwnNode(9, (PciAddress.parse(NIC),), 1000, 1000, None)
    nowhere = OwnNode(99, (PciAddress.parse(NIC),), 1000, 1000, None)
    owners = dict(kernel.owners)
    seen: list[dict[str, str]] = []

    def plan(kernel: FakeKernel) -> Plan:
        goals = {NIC: VFIO, FREE: Binding(None, None)}
        return plan_of("bind", kernel, goals, units=[[NIC], [FREE]], more={NIC: (own, nowhere)})

    report = do(kernel, plan, state, observe=lambda _: seen.append(dict(kernel.owners)))

    assert "1000 1000 0640" in {one.get("/dev/vfio/9") for one in seen}
    assert [one.errno for one in report.outcomes if one.status is Status.FAILED] == [errno.ENOENT]
    assert report.result is Result.ROLLED_BACK
    assert (kernel.bindings[FREE], kernel.owners) == (VFIO, owners)


class TestRecords:
    """Where devices came from."""

    def test_bind_records_and_unbind_uses_up(self, state: str) -> None:
        """An unbind after bind gives the first host, and no record is left."""
        kernel = workstation()
        before = kernel.bindings

        do(kernel, bind_plan, state)
        assert records_of(kernel, state) == before
        ids = {str(one.address): (one.vendor_id, one.device_id) for one in read_records(state, BOOT_ID)}
        assert (ids[GPU], ids[NIC]) == ((0x10DE, 0x2204), (0x8086, 0x10D3))

        do(kernel, unbind_plan, state)
        assert records_of(kernel, state) == {}
        assert kernel.bindings == before

    def test_a_change_that_failed_leaves_them_as_they_were(self, state: str) -> None:
        """Both of them."""
        kernel = workstation()
        before = kernel.bindings
        kernel.faults = {20: Fault(errno.EIO)}
        do(kernel, bind_plan, state)
        assert records_of(kernel, state) == {}

        do(kernel.again(), bind_plan, state)
        kernel.again().faults = {12: Fault(errno.EIO)}
        do(kernel, unbind_plan, state)
        assert records_of(kernel, state) == before


class TestRefusals:
    """What is not begun leaves no trace."""

    def test_refused_plans_are_not_carried_out(self, state: str) -> None:
        """Exit 4, every step skipped, nothing written."""
        kernel = workstation()
        finding = Finding("storage", Severity.REFUSE, None, "it carries /", "think again")

        report = do(kernel, lambda kernel: bind_plan(kernel)._replace(findings=(finding,)), state)

        assert (report.result, report.exit_code) == (Result.REFUSED, 4)
        assert {outcome.status for outcome in report.outcomes} == {Status.SKIPPED}
        assert kernel.commands == []
        assert read_unfinished(state) is None

    def test_a_read_only_sysfs_is_no_permission(self, state: str) -> None:
        """Exit 6, before the journal."""
        kernel = workstation()
        kernel.read_only = True

        with pytest.raises(NotPermittedError, match="read-only"):
            do(kernel, bind_plan, state)

        assert [type(command) for command in kernel.commands] == [OpenToWrite]
        assert read_unfinished(state) is None

    def test_under_the_lock_the_plan_is_made_anew(self, state: str) -> None:
        """What it is made for is what is there then; an error in it leaves nothing behind."""

        def fail() -> Plan:
            raise RefusedError("gone", hint="look")

        with pytest.raises(RefusedError, match="gone"):
            do(workstation(), lambda _: fail(), state)
        assert do(workstation(), bind_plan, state).result is Result.DONE


class TestWhileAnotherIsAtWork:
    """What is refused is refused at once, but not because of what the other is doing just then."""

    class Plans:
        """Plan so, and so the next time."""

        def __init__(self, *refused: bool) -> None:
            """Refuse or not, each time."""
            self.left = list(refused)

        def __call__(self, kernel: FakeKernel) -> Plan:
            """Plan a bind."""
            finding = Finding("vm", Severity.REFUSE, None, "an unbind of it is blocked", "wait")
            return bind_plan(kernel)._replace(findings=(finding,) if self.left.pop(0) else ())

    def test_what_has_passed_when_the_other_is_done_is_no_refusal(
        self, state: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of fifty commands at once one was told that its device's unbind were blocked: it was under way."""
        plans = self.Plans(True, False)
        with ExitStack() as at_work:
            at_work.enter_context(locked(state, 0))
            monkeypatch.setattr(transaction, "sleep", lambda _: at_work.close())
            report = do(workstation(), plans, state, lock_timeout=5)

        assert report.result is Result.DONE
        assert plans.left == []

    @pytest.mark.parametrize("patience", [0.0, 0.3])
    def test_what_stays_so_is_refused_without_the_lock(
        self, state: str, patience: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The other may be stuck for as long as a virtual machine runs."""
        monkeypatch.setattr(transaction, "_PASSING", 0.3)
        kernel, plans = workstation(), self.Plans(True, True)
        with locked(state, 0):
            report = do(kernel, plans, state, lock_timeout=patience)

        assert report.result is Result.REFUSED
        assert plans.left == []
        assert kernel.commands == []

    def test_where_yet_another_is_at_work_by_then_it_is_waited_for(
        self, state: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Something moves; what is so is seen under the lock."""
        plans = self.Plans(True)

        def take_over(_seconds: float) -> None:
            Path(f"{state}/lock").write_text("1 another", encoding="ascii")

        monkeypatch.setattr(transaction, "sleep", take_over)
        with locked(state, 0), pytest.raises(LockedError, match="another"):
            do(workstation(), plans, state, lock_timeout=0.3)

        assert plans.left == []

    def test_what_an_earlier_run_has_left_is_not_waited_for(
        self, state: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody moves anything."""
        monkeypatch.setattr(transaction, "journal_stands", lambda _: True)
        monkeypatch.setattr(transaction, "sleep", lambda _: pytest.fail("it waits"))
        plans = self.Plans(True)

        assert do(workstation(), plans, state, lock_timeout=5).result is Result.REFUSED
        assert plans.left == []


class TestSignals:
    """SIGINT, SIGTERM and SIGHUP are looked at between two steps."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_an_interrupt_rolls_back(self, number: signal.Signals, state: str) -> None:
        """After every single step: exit 130, the first state, and the signals mean what they did before."""
        handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        if signal.getsignal(number) == signal.SIG_IGN:
            pytest.skip("ignored here, as under nohup")
        for when in range(1, len(bind_plan(workstation()).steps)):
            kernel = workstation()
            before = kernel.bindings
            seen: list[StepOutcome] = []

            def interrupt(outcome: StepOutcome, seen: list[StepOutcome] = seen, when: int = when) -> None:
                seen.append(outcome)
                if len(seen) == when:
                    os.kill(os.getpid(), number)

            report = do(kernel, bind_plan, state, observe=interrupt)

            assert (report.result, report.interrupted, report.exit_code) == (Result.ROLLED_BACK, True, 130)
            assert kernel.bindings == before
            assert read_unfinished(state) is None
        assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers

    def test_an_interrupt_ends_the_wait_for_a_deferred_probe(self, state: str) -> None:
        """Which would else be asked for as long as the timeout; the way back is not hurried."""
        kernel = workstation()
        kernel.devices[NIC].deferred = {"vfio-pci": 10_000, "e1000e": 4}
        kernel.slowness = 0.01  # so that the other devices go on beside it
        before, began = kernel.bindings, kernel.now()

        def interrupt(_outcome: StepOutcome) -> None:
            if ("/sys/bus/pci/drivers/vfio-pci/bind", NIC) in kernel.writes:
                os.kill(os.getpid(), signal.SIGINT)

        report = do(kernel, bind_plan, state, observe=interrupt)

        assert [one.errno for one in report.outcomes if one.status is Status.FAILED] == [errno.EAGAIN]
        assert (report.exit_code, kernel.bindings) == (130, before)
        assert kernel.now() - began < 2

    def test_too_late_is_done(self, state: str) -> None:
        """With the last step everything is where it should be: to go back would help nobody."""
        kernel = workstation()
        last = len(bind_plan(kernel).steps)
        seen: list[StepOutcome] = []

        def interrupt(outcome: StepOutcome) -> None:
            seen.append(outcome)
            if len(seen) == last:
                os.kill(os.getpid(), signal.SIGINT)

        assert do(kernel, bind_plan, state, observe=interrupt).result is Result.DONE

    def test_a_failure_is_no_interrupt(self, state: str) -> None:
        """Exit 7 tells more than 130, also for who pressed Ctrl-C in the same moment."""
        kernel = workstation()
        kernel.faults = {6: Fault(errno.EIO)}

        def interrupt(outcome: StepOutcome) -> None:
            if outcome.status is Status.FAILED:
                os.kill(os.getpid(), signal.SIGINT)

        report = do(kernel, bind_plan, state, observe=interrupt)

        assert (report.exit_code, report.interrupted) == (7, False)

    def test_a_terminal_that_goes_away_stops_nothing(self, state: str) -> None:
        """Whoever watches may be gone."""

        def broken(_outcome: StepOutcome) -> None:
            raise BrokenPipeError

        assert do(workstation(), bind_plan, state, observe=broken).result is Result.DONE


def test_every_write_is_read_back(state: str) -> None:
    """After each comes a read of what it should have changed."""
    kernel = workstation()
    report = do(kernel, bind_plan, state)

    for outcome in report.outcomes:
        step = outcome.step
        if isinstance(step, LoadModule | OwnNode):
            continue
        at = next(index for index, one in enumerate(kernel.commands) if one[:2] == (step.path, step.value))
        folder = f"/sys/bus/pci/devices/{step.address}"
        read = (
            ReadText(f"{folder}/driver_override")
            if isinstance(step, SetOverride)
            else ReadLink(f"{folder}/driver")
        )
        assert read in kernel.commands[at + 1 :]


def test_what_owns_a_node_is_read_back(state: str) -> None:
    """A rule of udev that sets it again is found out."""
    kernel = workstation()
    kernel.counted, kernel.faults = (SetOwner,), {1: Fault()}

    report = do(kernel, bind_plan, state)

    assert report.result is Result.ROLLED_BACK
    assert [one.seen for one in report.outcomes if one.status is Status.FAILED] == ["0 0 0600"]


def test_modprobe_that_lies_is_found_out(state: str) -> None:
    """An install line of modprobe.d: yes, and no module."""
    kernel = workstation()
    kernel.faults = {0: Fault()}

    report = do(kernel, bind_plan, state)

    assert report.result is Result.ROLLED_BACK
    assert report.outcomes[0].seen == "modprobe said yes, but there is no /sys/module/vfio_iommu_type1"


def test_in_another_thread_signals_stay_as_they_are(state: str) -> None:
    """Python lets only the main thread defer them."""
    results: list[Result] = []
    worker = threading.Thread(target=lambda: results.append(do(workstation(), bind_plan, state).result))

    worker.start()
    worker.join(10)

    assert results == [Result.DONE]
