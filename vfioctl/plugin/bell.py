"""Waiting for something to change, without missing a change."""

from __future__ import annotations

import asyncio

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Bell:
    """Rung by whoever changed something; everybody who waits looks again."""

    def __init__(self) -> None:
        """Start silent."""
        self._next = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits now."""
        rung, self._next = self._next, asyncio.Event()
        rung.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; it is looked at now and after every ring."""
        while True:
            # Taken before the look: a change in between is not lost.
            following = self._next
            if holds():
                return
            await following.wait()
