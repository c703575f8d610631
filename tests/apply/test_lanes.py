from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fake_kernel import Device, Fault, machine
from vfioctl.apply.lanes import LANES, OverdueError, Pause, Within, run_scripts
from vfioctl.apply.port import Answer, ReadLink, Write

if TYPE_CHECKING:
    from tests.support.fake_kernel import FakeKernel
    from vfioctl.apply.lanes import Script

NAME = "0000:01:00.0"
DRIVER = ReadLink(f"/sys/bus/pci/devices/{NAME}/driver")
UNBIND = Write("/sys/bus/pci/drivers/e1000e/unbind", NAME)


@pytest.fixture
def kernel() -> FakeKernel:
    """Return a machine with one NIC."""
    return machine([Device(NAME, driver="e1000e")])


def test_results_come_in_the_order_of_the_scripts(kernel: FakeKernel) -> None:
    """Whichever ends first, also those that ask nothing at all."""

    def wait(seconds: float) -> Script[float]:
        if seconds:
            yield Pause(seconds)
        return seconds

    times = [0.3, 0.1, 0.0, 0.2] * 6

    assert run_scripts(kernel, [wait(seconds) for seconds in times]) == times
    assert run_scripts(kernel, []) == []


def test_answers_are_sent_to_who_asked(kernel: FakeKernel) -> None:
    """The kernel's errno too."""

    def ask() -> Script[tuple[Answer, Answer]]:
        found = yield DRIVER
        done = yield UNBIND
        return found, done

    assert run_scripts(kernel, [ask(), ask()]) == [
        (Answer(text="e1000e"), Answer()),
        (Answer(2), Answer(19)),
    ]


def test_a_deadline_is_for_all_that_follows_until_the_next(kernel: FakeKernel) -> None:
    """Time that a script pauses is its own affair."""
    kernel.faults = {0: Fault(hang=True)}
    ends: list[float] = []

    def ask() -> Script[str]:
        yield Within(5)
        yield DRIVER
        yield Pause(100)
        yield Within(2)
        yield DRIVER
        try:
            yield UNBIND
        except OverdueError:
            ends.append(kernel.now())
            again = yield DRIVER  # the lane is free again
            return f"left behind, {again.text}"
        return "came back"

    began = kernel.now()

    assert run_scripts(kernel, [ask()]) == ["left behind, e1000e"]
    assert ends == [began + 102]


def test_others_go_on_while_one_hangs(kernel: FakeKernel) -> None:
    """More than there are lanes; and what is not caught is raised."""
    kernel.faults = {0: Fault(hang=True)}

    def hang() -> Script[str]:
        yield Within(1)
        yield UNBIND
        return "never"

    def work() -> Script[str]:
        for _ in range(3):
            yield DRIVER
        return "done"

    done: list[float] = []

    def last() -> Script[str]:
        yield DRIVER
        done.append(kernel.now())
        return "last"

    began = kernel.now()
    with pytest.raises(OverdueError):
        run_scripts(kernel, [hang(), *(work() for _ in range(3 * LANES)), last()])

    assert done[0] - began < 1
