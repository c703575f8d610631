"""The process that looks at the host for the plugin; started by `vfioctl.plugin.reading`.

It is told once what to do, and then does it whenever it is asked: everywhere, or at some places. What it
sees goes back only when it is not what it saw before, and of that only what is new: an idle host costs the
plugin's own process nothing, and a change of one device next to nothing.
"""

from __future__ import annotations

import io
import os
import pickle
import sys

from vfioctl.errors import VfioctlError
from vfioctl.plugin.collecting import leave_alone
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

LENGTH_BYTES = 8
"""Of the length that comes before every message, little end first."""

_LONG = 64
"""Members of a tuple of which runs are named instead of each: a host has thousands of devices."""

SAME = b""
"""Instead of a message: nothing changed."""


def main(number: int) -> None:
    """Serve one parent on this descriptor, until it is gone."""
    with os.fdopen(number, "r+b", buffering=0) as channel:
        scan = pickle.loads(_receive(channel))  # noqa: S301 - from the parent, which started this process
        seen: object = None
        while True:
            places = pickle.loads(_receive(channel))  # noqa: S301 - as above
            first = seen is None
            message, seen = _look(scan, places, seen)
            _send(channel, message)
            if first and seen is not None:
                leave_alone()


def _look(scan: Callable[..., object], places: object, before: object) -> tuple[bytes, object]:
    """Look, and return the message about it and what is known on both sides from then on."""
    try:
        seen = scan() if places is None else scan(places)
    except VfioctlError as error:
        return pickle.dumps((False, (error.message, error.hint))), before
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent says it
        return pickle.dumps((False, (f"{type(error).__name__}: {error}", ""))), before
    return (SAME, before) if seen == before else (dumps((True, seen), parts(before)), seen)


def parts(seen: object) -> Sequence[object]:
    """Return of what was seen the parts that the next look may have as well."""
    get = getattr(seen, "parts", None)
    return get() if get is not None else ()


def dumps(message: object, known: Sequence[object]) -> bytes:
    """Write a message in which each object that is known stands as its place among these."""
    buffer = io.BytesIO()
    _Writer(buffer, known).dump(message)
    return buffer.getvalue()


def loads(message: bytes, known: Sequence[object]) -> object:
    """Read a message of `dumps`, given what was known."""
    return _Reader(io.BytesIO(message), known).load()


class _Writer(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, known: Sequence[object]) -> None:
        super().__init__(buffer, protocol=pickle.HIGHEST_PROTOCOL)
        self._places = {id(part): place for place, part in enumerate(known)}

    def persistent_id(self, obj: object) -> int | list[tuple[int, int] | list[object]] | None:
        if type(obj) is tuple and len(obj) > _LONG and not self._places.keys().isdisjoint(map(id, obj)):
            return list(self._runs(obj))
        return self._places.get(id(obj))

    def _runs(self, parts: tuple[object, ...]) -> Iterator[tuple[int, int] | list[object]]:
        """Yield from where to where a long tuple goes on as what is known, and what is new in it."""
        start = stop = 0
        for part in parts:
            place = self._places.get(id(part))
            if place == stop and start < stop:
                stop += 1
                continue
            if start < stop:
                yield start, stop
            start = stop = 0
            if place is None:
                yield [part]
            else:
                start, stop = place, place + 1
        if start < stop:
            yield start, stop


class _Reader(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, known: Sequence[object]) -> None:
        super().__init__(buffer)
        self._known = known

    def persistent_load(self, pid: int | list[tuple[int, int] | list[object]]) -> object:
        if isinstance(pid, int):
            return self._known[pid]
        whole: list[object] = []
        for run in pid:
            whole += self._known[slice(*run)] if isinstance(run, tuple) else run
        return tuple(whole)


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
