"""A look at everything that has parts keeps nobody waiting: what is reported meanwhile is seen in between."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.plugin.scene import QUICK
from vfioctl.errors import VfioctlError
from vfioctl.plugin.bell import Bell
from vfioctl.plugin.counts import Counts
from vfioctl.plugin.looking import Looking
from vfioctl.plugin.news import News, node_of
from vfioctl.udev.changes import Change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from vfioctl.plugin.news import Places
    from vfioctl.plugin.values import Offer

GPU = "0000:01:00.0"
PARTS = 4


class Seen(NamedTuple):
    """What a look gave."""

    places: Places | None
    more: bool = False


class Eyes:
    """Look in parts, and let something be reported after the second one."""

    def __init__(self) -> None:
        """Begin."""
        self.reads: list[Places | None] = []
        self.reported = asyncio.Event()
        self.heard = asyncio.Event()
        self.fails = False
        self._parts = 0

    async def read(self, places: Places | None = None) -> object:
        """Look."""
        self.reads.append(places)
        if places is not None:
            if self.fails:
                self.fails = False
                raise VfioctlError("it blocks", hint="wait")
            return Seen(places)
        self._parts += 1
        if self._parts == PARTS - 2:
            self.reported.set()
            await self.heard.wait()
        return Seen(None, more=self._parts % PARTS != 0)

    async def reports(self) -> AsyncIterator[Change]:
        """Report one device, once."""
        await self.reported.wait()
        yield Change("change", "pci", GPU, f"/devices/{GPU}")
        self.heard.set()
        await asyncio.Event().wait()


class Mind:
    """Note what was seen whole."""

    def __init__(self) -> None:
        """Begin."""
        self.changed = Bell()
        self.judged: list[Places | None] = []

    async def consider(self) -> None:
        """Do nothing."""

    async def judge(self, view: object) -> tuple[Sequence[Offer], bool]:
        """Note it."""
        assert isinstance(view, Seen)
        assert not view.more
        self.judged.append(view.places)
        return (), False

    async def publish(self, offers: Sequence[Offer]) -> None:
        """Publish nothing."""


def test_a_node_that_was_looked_at_since_its_folder_changed_is_no_news() -> None:
    """The kernel had told of it; each time anew, and only of what it told."""
    news = News()
    news.hear(("/dev/vfio/7",), "/dev/vfio/7")
    told = time.time_ns()
    time.sleep(0.02)
    assert news.take() == frozenset({"/dev/vfio/7"})

    assert news.unseen({"/dev/vfio/7", "/dev/vfio/8"}, told) == {"/dev/vfio/8"}
    assert news.unseen({"/dev/vfio/7"}, told) == {"/dev/vfio/7"}


@pytest.mark.parametrize("late", [False, True], ids=["not yet looked at", "changed since"])
def test_a_node_that_may_have_changed_since_is_news(late: bool) -> None:
    """What no look has begun for, and what may have come or gone after it began."""
    news = News()
    news.hear(("/dev/vfio/7",), "/dev/vfio/7")
    if late:
        news.take()

    assert news.unseen({"/dev/vfio/7"}, time.time_ns()) == {"/dev/vfio/7"}


@pytest.mark.parametrize(
    ("subsystem", "name", "node"),
    [
        ("vfio", "7", "/dev/vfio/7"),
        ("vfio", "noiommu-7", "/dev/vfio/noiommu-7"),
        ("vfio-dev", "vfio3", "/dev/vfio/devices/vfio3"),
        ("pci", GPU, None),
    ],
)
def test_the_node_of_what_the_kernel_reports(subsystem: str, name: str, node: str | None) -> None:
    """As the folder of nodes calls it."""
    assert node_of(Change("add", subsystem, name, f"/devices/{GPU}/{subsystem}/{name}")) == node


async def looks_after(folder: Path, *, told: bool) -> int:
    """Let a node come, of which the kernel tells or not; return how many looks were made for it."""
    eyes, mind = Eyes(), Mind()
    reports: asyncio.Queue[Change] = asyncio.Queue()

    async def changes() -> AsyncIterator[Change]:
        while True:
            yield await reports.get()

    looking = Looking(eyes, mind, QUICK._replace(watch=0.05), Counts(), changes(), (str(folder),))
    eyes.heard.set()
    tasks = [asyncio.create_task(one) for one in looking.work()]
    try:
        await asyncio.wait_for(mind.changed.until(lambda: looking.tries >= 1), 10.0)
        await asyncio.sleep(0.1)  # The folder's time must have passed.
        before = len(eyes.reads)
        (folder / "7").touch()
        if told:
            await asyncio.sleep(0.015)
            reports.put_nowait(Change("add", "vfio", "7", "/devices/virtual/vfio/7"))
        await asyncio.sleep(0.5)
        return len(eyes.reads) - before
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.parametrize("told", [False, True])
def test_a_node_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    """Because the kernel told of it, or because it is seen in its folder."""
    monkeypatch.setattr("vfioctl.plugin.news.VFIO_GROUP_NODES", str(tmp_path))

    assert asyncio.run(looks_after(tmp_path, told=told)) == 1


async def looked(eyes: Eyes, mind: Mind, looks: int) -> Looking:
    """Look until so many looks of the loop have ended."""
    looking = Looking(eyes, mind, QUICK, Counts(), eyes.reports())
    tasks = [asyncio.create_task(one) for one in looking.work()]
    try:
        await asyncio.wait_for(mind.changed.until(lambda: looking.tries >= looks), 10.0)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return looking


def test_what_is_reported_meanwhile_does_not_wait_for_the_end() -> None:
    """It is looked at and published between two parts."""

    async def run() -> None:
        eyes, mind = Eyes(), Mind()
        looking = await looked(eyes, mind, 1)
        there = frozenset({GPU})
        assert eyes.reads == [None, None, there, None, None]
        assert mind.judged == [there, None]
        assert (looking.count, looking.error) == (2, None)

    asyncio.run(run())


def test_what_could_not_be_seen_meanwhile_is_looked_for_again() -> None:
    """The rest of the look at everything may be long past it: so there is another one."""

    async def run() -> None:
        eyes, mind = Eyes(), Mind()
        eyes.fails = True
        looking = await looked(eyes, mind, 2)
        assert eyes.reads == [None, None, frozenset({GPU}), *[None] * (PARTS - 2), *[None] * PARTS]
        assert mind.judged == [None, None]
        assert looking.error is None

    asyncio.run(run())
