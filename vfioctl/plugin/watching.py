"""What happens in the kubelet's folder: a look at it four times a second, or once where nothing is awaited.

One stat tells whether a name was made or removed, since that changes the folder's time; only then the names
are read. That costs 20 microseconds a second, for any number of resources. To wake up for it costs ten times
that, so whoever looks as often looks at the same moments, and while every resource has its stream all look
rarely: a kubelet that ends closes the streams first. An inotify watch would tell sooner by as much, but it
sticks to the folder's inode: it is silent once the folder was replaced, and has to be found dead and set
again through the parent, whose own watch can die alike. This look needs nothing to be set again.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from contextlib import suppress

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.bell import Bell
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD = 0.25
"""Seconds between two looks."""
CALM = 4
"""As many periods between two looks while nothing is awaited."""

_COARSE = 50_000_000
"""Nanoseconds for which a folder's time may hide another change: it is the kernel's tick, not its clock."""


def until_beat(now: float, period: float) -> float:
    """Return the seconds from a time until the next whole multiple of a period; never none at all."""
    return period - now % period


async def beat(period: float) -> None:
    """Wait until then: who looks as often looks at the same moment, and the process wakes once for all."""
    await asyncio.sleep(until_beat(time.monotonic(), period))


class Seen(NamedTuple):
    """What a folder looked like."""

    folder: tuple[int, int] | None = None
    """Its device and inode; None where there is none."""
    kubelet: tuple[int, int, int] | None = None
    """Device, inode and time of ``kubelet.sock``; None where there is none. Inodes are used again."""
    names: frozenset[str] = frozenset()


class FolderWatch:
    """Looks at one folder again and again, for everybody who waits for something in it."""

    def __init__(self, folder: str, period: float = PERIOD, calm: Callable[[], bool] = lambda: False) -> None:
        """Look at once, and then every so many seconds while `run` runs; less often while it is calm."""
        self.folder = folder
        self._period = period
        self._calm = calm
        self._hurried = asyncio.Event()
        self._bell = Bell()
        self._stamp: tuple[int, int, int] | None = None
        self._settled = False
        self.seen = Seen()
        self.refresh()

    @property
    def changed(self) -> int:
        """When a name last came or went, as far as is seen (clock, nanoseconds, late by up to a tick)."""
        return self._stamp[2] if self._stamp else 0

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await self._rest()
            self.refresh()

    async def _rest(self) -> None:
        self._hurried.clear()
        if not self._calm():
            await beat(self._period)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), until_beat(time.monotonic(), CALM * self._period))

    def hurry(self) -> None:
        """Look now and often again: it is not calm any more."""
        self._hurried.set()

    async def until(self, holds: Callable[[Seen], bool]) -> None:
        """Wait until what is seen is as wanted."""
        await self._bell.until(lambda: holds(self.seen))

    def refresh(self) -> None:
        """Look now."""
        try:
            status = os.stat(self.folder)  # noqa: PTH116 - four times a second
        except OSError:
            self._show(Seen())
            self._stamp = None
            return
        stamp = (status.st_dev, status.st_ino, status.st_mtime_ns)
        if stamp == self._stamp and self._settled:
            return
        self._stamp = stamp
        # While the time is young, another change would leave it as it is.
        self._settled = time.time_ns() - status.st_mtime_ns > _COARSE
        self._show(_read(self.folder, (status.st_dev, status.st_ino)))

    def _show(self, seen: Seen) -> None:
        if seen != self.seen:
            self.seen = seen
            self._bell.ring()


def _read(folder: str, identity: tuple[int, int]) -> Seen:
    try:
        names = frozenset(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted
        status = os.lstat(f"{folder}/kubelet.sock") if "kubelet.sock" in names else None
    except OSError:
        return Seen()  # Gone meanwhile: the next look tells.
    if status is None or not stat.S_ISSOCK(status.st_mode):
        return Seen(identity, None, names)
    # Not the time of change: it is another after a chmod.
    return Seen(identity, (status.st_dev, status.st_ino, status.st_mtime_ns), names)
