"""Noticing at once that a process which had a group open has ended, and asking more often for a while then.

The end of its process is the first that can be known of the end of a pod: the kernel says it through a pidfd,
whichever mount namespace the process had its node in, while an inotify watch on the host's node hears nothing
of another inode of the same device, and the kubelet says nothing by itself. It is no release: that stays ten
seconds of absence from the kubelet's list, which begin when the kubelet is asked. So it is asked sooner then,
and sooner all the time while a pod's process was not seen.
"""

from __future__ import annotations

import asyncio
import errno
import os

from vfioctl.plugin.claims import GRACE, POLL
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from vfioctl.plugin.claims import Claim, Ledger
    from vfioctl.sysfs.openers import Opener

EAGER = 1.0
"""Seconds between two questions in the ten after such a process ended: its pod may soon follow it."""
UNSEEN = 2.0
"""Seconds between two questions while a pod has a group that nobody is seen to have open."""


def follow_up(ledger: Ledger, ended: float | None, asked: float) -> float | None:
    """Return when to ask sooner than every few seconds; None where there is no reason to, or not any more."""
    when = _after_farewell(ledger, ended, asked)
    if when is not None or not any(_unseen(ledger, claim) for claim in ledger.claims.in_no_order()):
        return when
    return asked + UNSEEN


def _after_farewell(ledger: Ledger, ended: float | None, asked: float) -> float | None:
    if ended is None or not (ledger.claims or ledger.openers):
        return None
    if asked < ended:
        return ended
    # What the kubelet does not list any more is asked about when it can be released.
    if all(claim.absent is not None for claim in ledger.claims.in_no_order()):
        return None
    return asked + EAGER if asked + EAGER <= ended + GRACE else None


def _unseen(ledger: Ledger, claim: Claim) -> bool:
    """Tell whether a pod has something of which no process was seen."""
    listed = claim.owner is not None and claim.absent is None
    return listed and bool(claim.groups) and not ledger.openers_of(claim.groups)


def looks(ledger: Ledger, ended: float | None, now: float) -> bool:
    """Tell whether open nodes are to be looked for with a question: all files of all processes are a lot."""
    if not ledger.claims and not ledger.openers:
        return False
    # A look begins a little after its question, so that the next may come a little early.
    if ledger.scanned is None or now >= ledger.scanned + POLL - EAGER:
        return True
    if ended is not None and ended >= ledger.scanned:
        return True
    # A release wants a look of that moment; a reservation wants to know its process.
    return any(claim.absent is not None or claim.owner is None for claim in ledger.claims.in_no_order())


async def until_ended(pid: int) -> None:
    """Wait until a process has ended; for ever where the kernel does not say (before 5.3, or a sandbox)."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        # Of a process that is being taken leave of the kernel says that the number is invalid.
        if error.errno not in {errno.ESRCH, errno.EINVAL}:
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
