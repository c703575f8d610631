"""Noticing at once that a process which had a group open has ended, and asking more often for a while then.

The end of its process is the first that can be known of the end of a pod: the kernel says it through a pidfd,
whichever mount namespace the process had its node in, while an inotify watch on the host's node hears nothing
of another inode of the same device, and the kubelet says nothing by itself. It is no release: that stays ten
seconds of absence from the kubelet's list, which begin when the kubelet is asked. So it is asked sooner.
"""

from __future__ import annotations

import asyncio
import os

from vfioctl.plugin.claims import GRACE
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from vfioctl.plugin.claims import Ledger
    from vfioctl.sysfs.openers import Opener

EAGER = 1.0
"""Seconds between two questions in the ten after such a process ended: its pod may soon follow it."""


def follow_up(ledger: Ledger, ended: float | None, asked: float) -> float | None:
    """Return when to ask because a process ended; None where that is no reason, or not any more."""
    if ended is None or not (ledger.claims or ledger.openers):
        return None
    if asked < ended:
        return ended
    # What the kubelet does not list any more is asked about when it can be released.
    if all(claim.absent is not None for claim in ledger.claims):
        return None
    return asked + EAGER if asked + EAGER <= ended + GRACE else None


async def until_ended(pid: int) -> None:
    """Wait until a process has ended; for ever where the kernel does not say (before 5.3, or a sandbox)."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:
        # No descriptor left, or not allowed: the next look at open nodes tells.
        await loop.create_future()
        return
    ended = asyncio.Event()
    try:
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


class Farewells:
    """Hears of the end of every process that was seen with a group open."""

    def __init__(
        self, heard: Callable[[], None], until: Callable[[int], Awaitable[None]] = until_ended
    ) -> None:
        """Call this whenever one ended, or was seen without the group that it had."""
        self._heard = heard
        self._until = until
        self._waiting: dict[int, asyncio.Task[None]] = {}

    def watch(self, openers: Iterable[Opener]) -> None:
        """Wait for the end of these, and of no other any more."""
        pids = {opener.pid for opener in openers}
        for pid in self._waiting.keys() - pids:
            task = self._waiting.pop(pid)
            if task.cancel():
                # It lives, and has closed it.
                self._heard()
        for pid in pids - self._waiting.keys():
            self._waiting[pid] = asyncio.create_task(self._wait(pid))

    def close(self) -> None:
        """Wait for nobody any more."""
        for task in self._waiting.values():
            task.cancel()

    async def _wait(self, pid: int) -> None:
        await self._until(pid)
        self._heard()
