"""The end of a process is heard of at once, and is a reason to ask, for a while."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from tests.plugin.test_arbiter import CARD, NOW, OTHER, SECOND, VM, ledger, listed
from vfioctl.plugin.claims import GRACE, Ledger
from vfioctl.plugin.farewells import EAGER, Farewells, follow_up, until_ended
from vfioctl.plugin.succession import reserve
from vfioctl.sysfs.openers import Opener

HAD = listed(reserve(ledger(), [CARD], NOW - 60), {CARD: VM}, NOW - 55)
"""Its pod is listed."""
GONE = listed(HAD, {}, NOW)
BESIDE = listed(reserve(HAD, [SECOND], NOW - 50), {SECOND: OTHER}, NOW)
"""One is not listed any more, another is."""


@pytest.mark.parametrize(
    ("found", "asked", "when"),
    [
        (HAD, NOW - 3, NOW),
        (HAD, NOW, NOW + EAGER),
        (HAD, NOW + GRACE - EAGER, NOW + GRACE),
        (HAD, NOW + GRACE, None),
        (GONE, NOW - 3, NOW),
        (GONE, NOW, None),
        (BESIDE, NOW, NOW + EAGER),
        (ledger(), NOW - 3, None),
        (ledger()._replace(openers=(Opener(1, 7, "qemu"),)), NOW - 3, NOW),
    ],
)
def test_when_to_ask_because_a_process_ended(found: Ledger, asked: float, when: float | None) -> None:
    """At once, and each second until ten have passed or nothing is waited for but the time."""
    assert follow_up(found, NOW, asked) == when
    assert follow_up(found, None, asked) is None


def sleeping() -> subprocess.Popen[bytes]:
    """Start a process that does nothing, as another session's."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)


def test_the_end_of_a_process_is_heard_once_and_everything_is_closed() -> None:
    """However it ended; no descriptor stays."""

    async def run() -> None:
        before = len(os.listdir("/proc/self/fd"))
        heard = asyncio.Event()
        count = 0

        def hear() -> None:
            nonlocal count
            count += 1
            heard.set()

        farewells = Farewells(hear)
        with sleeping() as one, sleeping() as other:
            openers = [Opener(1, one.pid, "qemu"), Opener(2, one.pid, "qemu"), Opener(3, other.pid, "qemu")]
            farewells.watch(openers)
            await asyncio.sleep(0)
            farewells.watch(openers)
            assert not heard.is_set()
            one.kill()
            await asyncio.wait_for(heard.wait(), 30)
            farewells.watch(openers[2:])
            assert count == 1
            # It closed its node, and lives.
            farewells.watch([])
            assert count == 2
            farewells.watch(openers[2:])
            farewells.close()
            other.kill()
        for _ in range(3):
            await asyncio.sleep(0)
        assert count == 2
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(run())


def test_a_process_that_has_ended_already_is_told_of_at_once() -> None:
    """Between the look and the question it may have gone."""
    with sleeping() as one:
        one.kill()
    asyncio.run(asyncio.wait_for(until_ended(one.pid), 30))


def test_where_the_kernel_does_not_say_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next look at open nodes tells; nothing fails, and nothing is said to have ended."""

    def refused(pid: int) -> int:
        raise OSError(38, f"no pidfd of {pid}")

    monkeypatch.setattr(os, "pidfd_open", refused)

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(until_ended(1), 0.05)

    asyncio.run(run())
