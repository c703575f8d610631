"""The admin socket: who may open it may steer the plugin, so it is root's alone.

Nobody who connects can disturb anybody: a request is a short line, a conversation has a time, and there are
only so many of them at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from contextlib import suppress

from vfioctl.errors import UsageError, VfioctlError
from vfioctl.plugin.protocol import (
    LARGEST_REQUEST,
    LONGEST_LOOK,
    decode_request,
    encode_error,
    encode_result,
)
from vfioctl.plugin.sockets import answers, is_socket
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
        self._talks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Answer until cancelled; where that cannot be, say so and end."""
        try:
            listening = private_socket(self._path)
        except (OSError, VfioctlError) as error:
            log.error("plugin status and its like will find nobody: %s: %s", self._path, error)  # noqa: TRY400 - its words are enough
            return
        mine = os.lstat(self._path).st_ino
        server = await asyncio.start_unix_server(self._greet, sock=listening, limit=LARGEST_REQUEST)
        try:
            # Not serve_forever: its end waits for every conversation, the slowest included.
            await asyncio.Event().wait()
        finally:
            server.close()
            talks = tuple(self._talks)
            for talk in talks:
                talk.cancel()
            await asyncio.gather(*talks, return_exceptions=True)
            with suppress(OSError):
                if os.lstat(self._path).st_ino == mine:
                    os.unlink(self._path)  # noqa: PTH108 - one call

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._talks) >= MOST_AT_ONCE:
            writer.write(encode_error(VfioctlError("too many ask at once", hint="try again")))
            writer.close()
            return
        talk = asyncio.create_task(self._talk(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # One that goes, or says half of something or nothing, is no trouble of ours.
            with suppress(TimeoutError, OSError, EOFError):
                async with asyncio.timeout(self._patience):
                    line = await self._request(reader)
                async with asyncio.timeout(LONGEST_LOOK):
                    answer = await self._answer(line)
                async with asyncio.timeout(self._patience):
                    writer.write(answer)
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        finally:
            writer.transport.abort()

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
    _check_folder(folder)
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


def _check_folder(folder: str) -> None:
    status = os.lstat(folder)
    writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {0, os.geteuid()} or writable:
        raise UsageError(
            f"{folder} is no folder that only root may write to",
            hint=f"chown root {folder}; chmod 755 {folder}",
        )
