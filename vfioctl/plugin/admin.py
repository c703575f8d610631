"""The admin socket: who may open it may steer the plugin, so it is root's alone.

A request is a short line, a conversation has a time, and there are only so many of them at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from contextlib import suppress

from vfioctl.errors import UsageError, VfioctlError
from vfioctl.plugin.lock import check_folder
from vfioctl.plugin.protocol import (
    LARGEST_REQUEST,
    LONGEST_LOOK,
    decode_request,
    encode_error,
    encode_result,
)
from vfioctl.plugin.sockets import answers, is_socket
from vfioctl.plugin.talks import Talks, say_last
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.plugin.steering import Steering

MOST_AT_ONCE = 16
"""Conversations: several administrators, each with a watch."""
PATIENCE = 5.0
"""Seconds until a request must have come, and until its answer must have been taken."""

log = logging.getLogger("vfioctl.plugin")


class Admin:
    """Answers on one socket."""

    def __init__(self, steering: Steering, path: str, patience: float = PATIENCE) -> None:
        """Make it; nothing is served yet."""
        self._steering = steering
        self._path = path
        self._patience = patience
        refusal = encode_error(VfioctlError("too many ask at once", hint="try again"))
        self._talks = Talks(self._talk, MOST_AT_ONCE, refusal)

    async def run(self) -> None:
        """Answer until cancelled; where that cannot be, say so and end."""
        try:
            listening = private_socket(self._path)
        except (OSError, VfioctlError) as error:
            log.error("plugin status and its like will find nobody: %s: %s", self._path, error)  # noqa: TRY400 - its words are enough
            return
        mine = os.lstat(self._path).st_ino
        server = await asyncio.start_unix_server(self._talks.greet, sock=listening, limit=LARGEST_REQUEST)
        try:
            # Not serve_forever: its end waits for every conversation, the slowest included.
            await asyncio.Event().wait()
        finally:
            server.close()
            await self._talks.end()
            with suppress(OSError):
                if os.lstat(self._path).st_ino == mine:
                    os.unlink(self._path)  # noqa: PTH108 - one call

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self._patience):
            line = await self._request(reader)
        async with asyncio.timeout(LONGEST_LOOK):
            answer = await self._answer(line)
        async with asyncio.timeout(self._patience):
            await say_last(writer, answer)

    async def _request(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil()
        except asyncio.LimitOverrunError:
            return b""

    async def _answer(self, line: bytes) -> bytes:
        try:
            result = await self._steering.answer(decode_request(line))
            return await asyncio.to_thread(encode_result, result)
        except VfioctlError as error:
            return encode_error(error)
        except Exception:
            log.exception("a request on the admin socket could not be answered")
            return encode_error(VfioctlError("the plugin could not answer", hint="see its log"))


def private_socket(path: str) -> socket.socket:
    """Listen at a path that only this user may connect to.

    Raises:
        UsageError: somebody else answers there, or others could put something in its place.
        OSError: the folder cannot be used.

    """
    folder = os.path.dirname(path)  # noqa: PTH120 - of a text
    os.makedirs(folder, mode=0o755, exist_ok=True)  # noqa: PTH103 - one call
    check_folder(folder)
    if is_socket(path):
        if answers(path):
            raise UsageError("another program answers there", hint="end that one first")
        os.unlink(path)  # noqa: PTH108 - one call
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Before it has a name: the kernel gives the file this mode, and there is no moment with another.
        os.fchmod(made.fileno(), 0o600)
        made.bind(path)
    except OSError:
        made.close()
        raise
    return made
