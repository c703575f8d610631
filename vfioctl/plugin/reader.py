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
from vfioctl.model.likeness import between
from vfioctl.plugin.collecting import leave_alone
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO, TypeAlias

    Rows: TypeAlias = Sequence[tuple[object, ...]]
    Place: TypeAlias = tuple[int, int]
    """A row of what is known, and a place in it."""
    Run: TypeAlias = tuple[int, int, int] | list[object]
    """A row of it, from one place to another; or what is new."""

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


def parts(seen: object) -> Rows:
    """Return of what was seen the parts that the next look may have as well, those of one kind in a row."""
    get = getattr(seen, "parts", None)
    return get() if get is not None else ()


def dumps(message: object, known: Rows) -> bytes:
    """Write a message in which each object that is known stands as its place among these."""
    buffer = io.BytesIO()
    _Writer(buffer, known).dump(message)
    return buffer.getvalue()


def loads(message: bytes, known: Rows) -> object:
    """Read a message of `dumps`, given what was known."""
    return _Reader(io.BytesIO(message), known).load()


class _Writer(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, known: Rows) -> None:
        super().__init__(buffer, protocol=pickle.HIGHEST_PROTOCOL)
        self._known = known
        # Of a long row, runs are named: to note the places of thousands takes longer than the look.
        short = (number for number, row in enumerate(known) if len(row) <= _LONG)
        self._places = {id(part): (row, place) for row in short for place, part in enumerate(known[row])}

    def persistent_id(self, obj: object) -> Place | list[Run] | None:
        if type(obj) is tuple and len(obj) > _LONG:
            like = (number for number, row in enumerate(self._known) if row and type(row[0]) is type(obj[0]))
            number = next(like, None)
            if number is not None:
                return list(_runs(number, self._known[number], obj))
        return self._places.get(id(obj))


def _runs(number: int, known: tuple[object, ...], parts: tuple[object, ...]) -> Iterator[Run]:
    """Yield from where to where a long tuple goes on as what is known, and what is new in it."""
    old, new = between(known, parts)
    yield number, 0, old.start
    places = {id(part): place for place, part in enumerate(known[old], old.start)}
    start = stop = 0
    for part in parts[new]:
        place = places.get(id(part))
        if place == stop and start < stop:
            stop += 1
            continue
        yield number, start, stop
        start = stop = 0
        if place is None:
            yield [part]
        else:
            start, stop = place, place + 1
    yield number, start, stop
    yield number, old.stop, len(known)


class _Reader(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, known: Rows) -> None:
        super().__init__(buffer)
        self._known = known

    def persistent_load(self, pid: Place | list[Run]) -> object:
        if isinstance(pid, tuple):
            row, place = pid
            return self._known[row][place]
        whole: list[object] = []
        for run in pid:
            if isinstance(run, tuple):
                row, start, stop = run
                whole += self._known[row][start:stop]
            else:
                whole += run
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
