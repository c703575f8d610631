from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.fake_kernel import BOOT_ID, FakeKernel, machine
from vfioctl.apply.access import check_writable, read_boot_id
from vfioctl.apply.asking import PATIENCE, TURN
from vfioctl.errors import NotPermittedError, VfioctlError


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


def test_a_host_that_is_busier_than_that_is_told_so(kernel: FakeKernel) -> None:
    """Nothing was written."""
    kernel.slowness = TURN + 1
    with pytest.raises(VfioctlError, match="no answer in 30 s"):
        read_boot_id(kernel)
    kernel.slowness, kernel.boot_id = 0.0, ""
    with pytest.raises(VfioctlError) as refused:
        read_boot_id(kernel)
    assert refused.value.hint == "see whether /proc is mounted"
    assert kernel.writes == []
