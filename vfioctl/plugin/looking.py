"""Look at the host when something is reported, and at all of it now and then: one look at a time.

However many changes are reported meanwhile, they are one look. One at everything is made in parts on a large
host: what is reported meanwhile does not wait for its end.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from math import inf
from time import monotonic

from vfioctl.errors import VfioctlError
from vfioctl.plugin.news import News, node_of, place_of, places_between
from vfioctl.plugin.watching import CALM, FolderWatch, beat
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence
    from typing import Protocol

    from vfioctl.plugin.bell import Bell
    from vfioctl.plugin.counts import Counts
    from vfioctl.plugin.news import Places, Report
    from vfioctl.plugin.supervisor import Times
    from vfioctl.plugin.values import Offer

    class Eyes(Protocol):
        """Who looks at the host."""

        async def read(self, places: Places | None = None) -> object:
            """Return what is seen; with places it is enough to look there.

            What has a true ``more`` is no more than a part of a look at everything: read on, for the next.
            """

    class Mind(Protocol):
        """Who makes something of what is seen."""

        @property
        def changed(self) -> Bell:
            """To be rung after a look."""

        async def consider(self) -> None:
            """Do what is to be done between two looks."""

        async def judge(self, view: object) -> tuple[Sequence[Offer], bool]:
            """Return what to publish after a look, and whether to look again soon."""

        async def publish(self, offers: Sequence[Offer]) -> None:
            """Publish it."""


log = logging.getLogger("vfioctl.plugin")


class Looking:
    """The looks of one plugin, and how they went."""

    def __init__(
        self,
        eyes: Eyes,
        mind: Mind,
        times: Times,
        counts: Counts,
        changes: AsyncIterator[Report] | None = None,
        doors: Sequence[str] = (),
    ) -> None:
        """Look by these eyes, when something changes, and when names come or go in the folders ``doors``."""
        self.count = 0
        """How many looks have succeeded, those of which others wait included."""
        self.last: float | None = None
        """When one last succeeded, on the monotonic clock."""
        self.last_try = monotonic()
        """When one or a part of one last ended, well or not; at first when all began."""
        self.tries = 0
        """How many have ended, well or not."""
        self.under_way = False
        self.error: str | None = None
        """Why the last one failed."""
        self.period = times.resync
        """Seconds between two looks at everything, as it is now."""
        self._eyes = eyes
        self._mind = mind
        self._times = times
        self._counts = counts
        self._changes = changes
        self._doors = doors
        self._deaf = changes is None
        self._due = 0.0
        self._rested = 0.0
        """When everything may be looked at again because of what is reported."""
        self._news = News()
        self._doubtful: Places | None = frozenset()
        """Where something was in doubt at the last look."""

    def poke(self) -> None:
        """Have the whole host looked at soon."""
        self._news.hear(None)

    def work(self) -> list[Coroutine[None, None, None]]:
        """Return all that is to be run, for ever."""
        listening = [] if self._changes is None else [self._listen(self._changes)]
        return [self._look_for_ever(), *map(self._mind_door, self._doors), *listening]

    async def _listen(self, changes: AsyncIterator[Report]) -> None:
        try:
            async for report in changes:
                place = place_of(report)
                self._news.hear(None if place is None else (place,), node_of(report))
        except Exception:
            log.exception("changes are not reported any more")
        self._deaf = True
        self.poke()
        log.warning("looking at the host every %g s from now on", self._times.resync)

    async def _mind_door(self, folder: str) -> None:
        """See when a node comes or goes, also by hand, which the kernel does not report."""
        watch = FolderWatch(folder)
        while True:
            before = watch.seen
            await beat(CALM * self._times.watch)
            watch.refresh()
            if watch.seen == before:
                continue
            places = places_between(folder, before, watch.seen)
            if places is None or (places := self._news.unseen(places, watch.changed)):
                self._news.hear(places)

    async def _look_for_ever(self) -> None:
        places: Places | None = None
        while True:
            began = monotonic()
            self.under_way = True
            pause = await self._look(places)
            self.under_way = False
            ended = self.last_try = monotonic()
            self.tries += 1
            if places is None:
                self.period = self._pause_after(ended - began)
                self._due = ended + self.period
            self._mind.changed.ring()
            await self._rest(pause, ended, ended - began, whole=places is None)
            places = self._next()
            await self._mind.consider()

    async def _rest(self, pause: float, ended: float, took: float, *, whole: bool) -> None:
        """Wait until it is time for the next look."""
        with suppress(TimeoutError):
            patience = min(pause, self._due - ended, self._times.resync)
            await asyncio.wait_for(self._news.heard.wait(), patience)
        # Never at work for more than half of the time, whatever is reported; but what takes little time
        # does not have to wait because of what took much.
        if whole:
            self._rested = ended + took
            await asyncio.sleep(self._times.settle)
        else:
            await asyncio.sleep(max(self._times.settle, ended + took - monotonic()))
        if self._news.everything and self._rested > monotonic():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.placed.wait(), self._rested - monotonic())
                await asyncio.sleep(self._times.settle)

    def _pause_after(self, took: float) -> float:
        """Return how long to wait before everything is looked at again."""
        if self._deaf:
            return self._times.resync
        return max(self._times.resync, min(self._times.spare * took, self._times.longest))

    def _next(self) -> Places | None:
        """Return where to look now; None: everywhere."""
        now, doubtful = monotonic(), self._doubtful
        if doubtful is None or now >= self._due:
            self._news.take()
            return None
        tired = self._news.everything and now < self._rested
        places = self._news.take_places() if tired else self._news.take()
        return None if places is None else places | doubtful

    async def _look(self, places: Places | None) -> float:
        """Look, and publish what changed; return the seconds to the next look."""
        began = monotonic()
        try:
            view = await self._eyes.read(places)
            while getattr(view, "more", False):
                self.last_try = monotonic()
                await self._look_between()
                view = await self._eyes.read()
            offers, unsettled = await self._mind.judge(view)
        except VfioctlError as error:
            return self._missed(error.message)
        except Exception as error:  # noqa: BLE001 - an odd host must not end the plugin
            return self._missed(f"{type(error).__name__}: {error}")
        self._say(None)
        self.count += 1
        self.last = monotonic()
        self._counts.looked(self.last - began)
        self._doubtful = places if unsettled else frozenset()
        await self._mind.publish(offers)
        return self._times.doubt if unsettled else inf

    async def _look_between(self) -> None:
        """Look where something was reported since a look at everything began."""
        if self._news.placed.is_set():
            await asyncio.sleep(self._times.settle)
            await self._look(self._news.take_places())
            if self.error is not None:
                self.poke()  # What was reported there is still to be seen.

    def _missed(self, error: str) -> float:
        # What was to be seen is not known any more.
        self._doubtful = None
        self._say(error)
        return self._times.retry

    def _say(self, error: str | None) -> None:
        if error != self.error:
            self.error = error
            if error is not None:
                log.error("everything stays as it was: %s", error)
