"""Conversations with whoever connects: only so many at once, and each of them ends.

Nobody who connects can disturb anybody: one that goes, or says half of something or nothing, is no trouble.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Awaitable, Callable


class Talks:
    """The conversations of one server."""

    def __init__(
        self, talk: Callable[[StreamReader, StreamWriter], Awaitable[None]], most: int, refusal: bytes
    ) -> None:
        """Hold each conversation by this function, which keeps its own time; who is too many is told so."""
        self._talk = talk
        self._most = most
        self._refusal = refusal
        self._under_way: set[asyncio.Task[None]] = set()

    def greet(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Begin one; to be given to a server of asyncio's."""
        if len(self._under_way) >= self._most:
            writer.write(self._refusal)
            writer.close()
            return
        task = asyncio.create_task(self._hold(reader, writer))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def end(self) -> None:
        """End all of them, the slowest included."""
        tasks = tuple(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _hold(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            with suppress(TimeoutError, OSError, EOFError):
                await self._talk(reader, writer)
        finally:
            writer.transport.abort()


async def say_last(writer: StreamWriter, answer: bytes) -> None:
    """Write an answer, wait until it was taken, and close."""
    writer.write(answer)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
