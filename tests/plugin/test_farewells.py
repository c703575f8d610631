"""The end of a process is heard of at once, and is a reason to ask, for a while."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from tests.plugin.test_arbiter import CARD, NOW, OTHER, SECOND, VM, ledger, listed
from vfioctl.plugin.claims import GRACE, POLL, Ledger, Openers, opened
from vfioctl.plugin.farewells import EAGER, UNSEEN, Farewells, follow_up, looks, until_ended
from vfioctl.plugin.succession import reserve
from vfioctl.plugin.values import Item
from vfioctl.sysfs.openers import Opener

ITEM = Item("1-2", "v.io/dongle", (), (), None, None)
USED = (Opener(1, 7, "qemu"), Opener(2, 8, "qemu"))
UNUSED = listed(reserve(ledger(), [CARD], NOW - 60), {CARD: VM}, NOW - 55)
"""Its pod is listed, and no process was seen."""
HAD = opened(UNUSED, USED, NOW - 3)
GONE = listed(HAD, {}, NOW)
BESIDE = listed(reserve(HAD, [SECOND], NOW - 50), {SECOND: OTHER}, NOW)
"""One is not listed any more, another is."""
DONGLE = listed(reserve(ledger(), [ITEM], NOW - 60), {ITEM: VM}, NOW - 55)
"""Something that no VFIO node is of."""


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
        (ledger()._replace(openers=Openers(USED)), NOW - 3, NOW),
        (DONGLE, NOW + GRACE, None),
    ],
)
def test_when_to_ask_because_a_process_ended(found: Ledger, asked: float, when: float | None) -> None:
    """At once, and each second until ten have passed or nothing is waited for but the time."""
    assert follow_up(found, NOW, asked) == when
    if found is not BESIDE:
        assert follow_up(found, None, asked) is None


def test_a_pod_whose_process_was_not_seen_is_asked_for_more_often() -> None:
    """Nothing else will tell of its end; what has no VFIO node is asked for at leisure."""
    assert follow_up(UNUSED, None, NOW) == NOW + UNSEEN
    assert follow_up(HAD, None, NOW) is None
    assert follow_up(DONGLE, None, NOW) is None
    assert follow_up(listed(UNUSED, {}, NOW), None, NOW) is None


@pytest.mark.parametrize(
    ("found", "ended", "now", "wanted"),
    [
        (ledger(), None, NOW, False),
        (UNUSED, None, NOW, True),
        (HAD, None, NOW - 2, False),
        (HAD, NOW - 4, NOW - 2, False),
        (HAD, NOW - 3, NOW - 2, True),
        (HAD, None, NOW - 3 + POLL, True),
        (GONE, None, NOW, True),
        (reserve(HAD, [SECOND], NOW - 2), None, NOW - 2, True),
        (ledger()._replace(openers=Openers(USED), scanned=NOW - 3), None, NOW, False),
        (ledger()._replace(openers=Openers(USED), scanned=NOW - 3), None, NOW + 2, True),
    ],
)
def test_when_open_nodes_are_looked_for(found: Ledger, ended: float | None, now: float, wanted: bool) -> None:
    """Every few seconds, and whenever it matters at that moment."""
    assert looks(found, ended, now) == wanted


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
