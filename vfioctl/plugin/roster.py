"""The resources that are served, each with what keeps it registered, in one folder of the kubelet's."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.registration import Registration
from vfioctl.plugin.service import Service
from vfioctl.plugin.sockets import remove_stale, socket_name
from vfioctl.plugin.values import Offer
from vfioctl.plugin.watching import FolderWatch
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vfioctl.plugin.counts import Counts
    from vfioctl.plugin.service import Desk
    from vfioctl.plugin.supervisor import Times

log = logging.getLogger("vfioctl.plugin")


class Kept(NamedTuple):
    """One resource, and what keeps it registered."""

    service: Service
    registration: Registration
    task: asyncio.Task[None]


class Place(NamedTuple):
    """Where resources are registered, and how."""

    folder: str
    watcher: bool
    """Whether registration is left to the kubelet's plugin watcher."""

    def check(self) -> Place:
        """Return it, or raise UsageError where no socket's path would fit below it."""
        socket_name(self.folder, "")
        return self


class Roster:
    """Who is served now."""

    def __init__(self, place: Place, counts: Counts, times: Times) -> None:
        """Serve nobody yet."""
        self.place = place
        self.kept: dict[str, Kept] = {}
        self._counts = counts
        self._times = times
        self.watch = self._watch(place)
        self._watching: asyncio.Task[None] | None = None

    def _watch(self, place: Place) -> FolderWatch:
        return FolderWatch(place.folder, self._times.watch, lambda: self.all_up)

    @property
    def all_up(self) -> bool:
        """Whether a kubelet has the list of every resource open."""
        return all(kept.registration.up for kept in self.kept.values())

    def begin(self) -> None:
        """Begin to look at the folder, from which what an earlier start left behind is removed."""
        for name in remove_stale(self.place.folder):
            log.info("removed %s, left behind by an earlier start", name)
        self._watching = asyncio.create_task(self.watch.run())

    def start(self, offer: Offer, desk: Desk) -> None:
        """Serve another one."""
        service = Service(offer, desk, self._counts)
        registration = Registration(
            service, self.watch, watcher=self.place.watcher, pace=self._times.pace, counts=self._counts
        )
        task = asyncio.create_task(registration.run(), name=offer.resource)
        self.kept[offer.resource] = Kept(service, registration, task)
        self.watch.hurry()

    async def drop(self, names: Iterable[str]) -> None:
        """Serve these no more."""
        gone = [self.kept.pop(name) for name in sorted(names)]
        for kept in gone:
            log.info("%s: not offered any more", kept.service.resource)
        await end([kept.task for kept in gone], self._times.farewell)

    async def move(self, place: Place) -> None:
        """Register elsewhere: the one change that concerns every resource."""
        await self.drop(set(self.kept))
        if self._watching is not None:
            await end([self._watching], self._times.farewell)
        self.place = place
        self.watch = self._watch(place)
        self._watching = asyncio.create_task(self.watch.run())

    async def empty(self, within: float) -> None:
        """Offer nothing any more, and wait until kubelets were told so."""
        for kept in self.kept.values():
            kept.service.publish(Offer(kept.service.resource, ()))
        told = asyncio.gather(*(kept.service.until_told() for kept in self.kept.values()))
        with suppress(TimeoutError):
            await asyncio.wait_for(told, within)
        log.info("every list was emptied before the end, as asked for")

    async def close(self, tasks: Sequence[asyncio.Task[None]] = ()) -> None:
        """Serve nobody any more, and end these tasks with it."""
        # All at once: two hundred servers one after the other would take seconds.
        watching = [] if self._watching is None else [self._watching]
        await end([*tasks, *watching, *(kept.task for kept in self.kept.values())], self._times.farewell)
        self.kept.clear()


async def end(tasks: Sequence[asyncio.Task[None]], within: float) -> None:
    """Cancel tasks and wait for them, but not for longer than this."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=within)
