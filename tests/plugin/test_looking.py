"""A look at everything that has parts keeps nobody waiting: what is reported meanwhile is seen in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from tests.plugin.scene import QUICK
from vfioctl.errors import VfioctlError
from vfioctl.plugin.bell import Bell
from vfioctl.plugin.counts import Counts
from vfioctl.plugin.looking import Looking
from vfioctl.udev.changes import Change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

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
