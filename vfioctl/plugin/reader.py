"""The process that looks at the host for the plugin; started by `vfioctl.plugin.reading`.

It is told once what to do, and then does it whenever it is asked. What it sees goes back only when it is not
what it saw before: an idle host costs the plugin's own process nothing.
"""

from __future__ import annotations

import os
import pickle
import sys

from vfioctl.errors import VfioctlError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

LENGTH_BYTES = 8
"""Of the length that comes before every message, little end first."""

LOOK = b"?"
SAME = b""
"""Instead of a message: nothing changed."""


def main(number: int) -> None:
    """Serve one parent on this descriptor, until it is gone."""
    with os.fdopen(number, "r+b", buffering=0) as channel:
        scan = pickle.loads(_receive(channel))  # noqa: S301 - from the parent, which started this process
        before = None
        while channel.read(1) == LOOK:
            message = _look(scan)
            _send(channel, SAME if message == before else message)
            before = message


def _look(scan: Callable[[], object]) -> bytes:
    try:
        return pickle.dumps((True, scan()), protocol=pickle.HIGHEST_PROTOCOL)
    except VfioctlError as error:
        return pickle.dumps((False, (error.message, error.hint)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent says it
        return pickle.dumps((False, (f"{type(error).__name__}: {error}", "")))


def _receive(channel: BinaryIO) -> bytes:
    size = int.from_bytes(_exactly(channel, LENGTH_BYTES), "little")
    return _exactly(channel, size)


def _exactly(channel: BinaryIO, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = channel.read(size - len(data))
        if not more:
            sys.exit(0)
        data += more
    return data


def _send(channel: BinaryIO, message: bytes) -> None:
    view = memoryview(len(message).to_bytes(LENGTH_BYTES, "little") + message)
    try:
        while view:
            view = view[channel.write(view) :]
    except OSError:
        sys.exit(0)
