from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from tests.support.fake_kernel import BOOT_ID, Device, FakeKernel, machine
from vfioctl.apply.access import check_writable, read_boot_id
from vfioctl.apply.asking import PATIENCE, TURN
from vfioctl.apply.port import Answer
from vfioctl.apply.standing import read_states
from vfioctl.errors import NotPermittedError, VfioctlError
from vfioctl.model.address import PciAddress


@pytest.fixture
def kernel() -> FakeKernel:
    """Return a machine without devices."""
    return machine([])


def test_what_waits_for_no_device_is_given_the_time_that_a_busy_host_takes(kernel: FakeKernel) -> None:
    """Of fifty commands at once on one processor one was told that /proc were not mounted."""
    kernel.slowness = 3 * PATIENCE
    assert read_boot_id(kernel) == BOOT_ID
    with pytest.raises(NotPermittedError):
        check_writable(replace(kernel, read_only=True))


@pytest.mark.parametrize(
    ("slowness", "busy", "answered"),
    [
        (PATIENCE / 4, False, True),
        (PATIENCE + 1, False, False),
        (PATIENCE + 1, True, True),
        (TURN - 1, True, True),
        (TURN + PATIENCE, True, False),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_a_device_whose_answer_is_late_because_the_host_is_busy_is_not_taken_for_blocked(
    slowness: float, busy: bool, answered: bool, count: int
) -> None:
    """What a bind has done would be called unknown."""
    names = [f"0000:01:00.{number}" for number in range(count)]
    kernel = machine([Device(name, driver="e1000e") for name in names])
    kernel.slowness, kernel.busy = slowness, busy

    states = read_states(kernel, [PciAddress.parse(name) for name in names])

    assert [state.stuck for state in states] == [not answered] * count


def test_a_host_that_is_busier_than_that_is_told_so(kernel: FakeKernel) -> None:
    """Nothing was written."""
    kernel.slowness = TURN + 1
    with pytest.raises(VfioctlError, match="no answer in 30 s"):
        read_boot_id(kernel)
    assert kernel.writes == []


@pytest.mark.parametrize("answer", [Answer(), Answer(errno.ENOENT, "No such file or directory")])
def test_the_kernels_word_for_why_not_is_no_name_of_a_boot(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    """A journal would be of a boot of that name."""
    monkeypatch.setattr(kernel, "_read", lambda _path: answer)

    with pytest.raises(VfioctlError) as refused:
        read_boot_id(kernel)

    assert refused.value.hint == "see whether /proc is mounted"
