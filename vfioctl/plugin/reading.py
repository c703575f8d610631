"""Looking at the host without ever waiting for it.

A read of sysfs can block where no signal reaches (K34, K55), so it happens in a process that can be left
behind. It is a fresh interpreter, not a fork: this one has gRPC's threads, whose locks a fork would copy in
whatever state they are, and a plugin that lives for months must be able to start another reader at any time.
It stays, since starting one takes 60 ms, and it answers with nothing where nothing changed.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import subprocess
import sys
from contextlib import suppress
from time import monotonic, sleep

from vfioctl.errors import VfioctlError
from vfioctl.plugin.reader import LENGTH_BYTES, loads, parts
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PATIENCE = 30.0
"""Seconds that a look may take. Reads that block are left behind one by one below this already."""
MOST_LEFT = 3
"""Readers that may hang at one time; then no more are started until one has ended."""

_BOOT = "import sys; sys.path[:] = {path!r}; from vfioctl.plugin.reader import main; main({number})"
_FAREWELL = 0.2


class BlockedError(VfioctlError):
    """The host could not be looked at: the look blocks, or its process was killed."""


class Reading:
    """A reader's process and the last thing that it saw.

    ``scan`` is what it calls: a function of a module, a `functools.partial` of one, or an object that can be
    pickled, which returns plain values. It is called with the places to look at, or without any.
    """

    def __init__(self, scan: Callable[..., object], patience: float = PATIENCE) -> None:
        """Start the reader at once: it is ready when it is first asked, and begins before gRPC is loaded."""
        self._scan = pickle.dumps(scan)
        self._patience = patience
        self._left: list[subprocess.Popen[bytes]] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._last: object = None
        self._start()

    async def read(self, places: frozenset[str] | None = None) -> object:
        """Look, and return what is seen: the very object of before where nothing changed.

        With ``places`` it is enough to look there.

        Raises:
            BlockedError: it takes too long, or its process ended; the next look is made by another one.
            VfioctlError: what the scan raised, in its words.

        """
        if self._channel is None:
            self._start()
        try:
            message = await asyncio.wait_for(self._ask(places), self._patience)
        except (TimeoutError, OSError, EOFError) as error:
            timed_out = isinstance(error, TimeoutError)
            self._leave()
            what = f"takes more than {self._patience:g} s" if timed_out else "ended: its process was killed"
            raise BlockedError(
                f"looking at the host {what}", hint="see what blocks: vfioctl scan, and the kernel's log"
            ) from error
        except asyncio.CancelledError:
            self._leave()  # Its answer would be taken for that to the next question.
            raise
        if not message:
            return self._last
        answer: Any = loads(message, parts(self._last))
        good, seen = answer
        if not good:
            raise VfioctlError(seen[0], hint=seen[1])
        self._last = seen
        return self._last

    def close(self) -> None:
        """End the reader, as far as it can be ended; what hangs is left to init."""
        self._leave()
        until = monotonic() + _FAREWELL
        while self._reap() and monotonic() < until:
            sleep(0.002)

    def _start(self) -> None:
        if self._reap() >= MOST_LEFT:
            raise BlockedError(
                f"{MOST_LEFT} processes hang that look at the host",
                hint="see the kernel's log for what blocks",
            )
        ours, theirs = socket.socketpair()
        with theirs:
            code = _BOOT.format(path=[entry or "." for entry in sys.path], number=theirs.fileno())
            # Isolated: neither the environment nor the current folder says what is imported.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        ours.sendall(_framed(self._scan))
        ours.settimeout(0)
        self._channel = ours

    async def _ask(self, places: frozenset[str] | None) -> bytes:
        channel = self._channel
        if channel is None:
            raise EOFError
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(channel, _framed(pickle.dumps(places)))
        size = int.from_bytes(await _exactly(loop, channel, LENGTH_BYTES), "little")
        return await _exactly(loop, channel, size)

    def _leave(self) -> None:
        """Kill the reader and go on without it."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._left.append(self._process)
            self._process = None

    def _reap(self) -> int:
        """Take leave of readers that have ended, and return how many hang."""
        self._left = [process for process in self._left if process.poll() is None]
        return len(self._left)


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(LENGTH_BYTES, "little") + message


async def _exactly(loop: asyncio.AbstractEventLoop, channel: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = await loop.sock_recv(channel, min(size - len(data), 1 << 20))
        if not more:
            raise EOFError
        data += more
    return bytes(data)
