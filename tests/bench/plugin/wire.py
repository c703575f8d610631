"""Callers that cost next to nothing: gRPC's frames written by hand, requests made once and sent as they are.

A Python client would take longer for a call than the server that is measured. Here the time runs from the
write of a request to the end of its answer, with some 20 microseconds of this process in between. The headers
are those of a kubelet (grpc-go), without compression of their names.
"""

from __future__ import annotations

import itertools
import selectors
import socket
import time
from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SERVICE = "/v1beta1.DevicePlugin"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _AWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_FRAME, _PREFIX = 9, 5
_WIDE = 1 << 30
_LATE = 0.005
"""Seconds after which a call is late by more than this process takes to notice that it is due."""


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def headers(method: str) -> bytes:
    """Return the header block of a call: literals that the other side need not remember."""
    pairs = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"{SERVICE}/{method}",
        ":authority": "localhost",
        "content-type": "application/grpc",
        "user-agent": "grpc-go/1.79.3",
        "te": "trailers",
    }
    return b"".join(
        b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in pairs.items()
    )


class Answer(NamedTuple):
    """What one call got."""

    seconds: float
    message: bytes
    """Without gRPC's prefix; empty where there was none, as in an error."""


class Connection:
    """One connection to a server, with any number of calls under way."""

    def __init__(self, path: str, window: int = _WIDE) -> None:
        """Connect, with a window for each stream that is never full unless it is made smaller."""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        wide_streams = _frame(_SETTINGS, 0, 0, (4).to_bytes(2, "big") + window.to_bytes(4, "big"))
        self.socket.sendall(_PREFACE + wide_streams + _frame(_WINDOW, 0, 0, _WIDE.to_bytes(4, "big")))
        self._next = 1
        self._rest = b""
        self._began: dict[int, float] = {}
        self._messages: dict[int, bytes] = {}
        self.on_message: Callable[[bytes], None] | None = None
        """Called with each message of a stream, which has no end."""

    def call(self, head: bytes, request: bytes, began: float | None = None) -> None:
        """Begin a call, whose time runs from now or from a moment that was meant."""
        stream, self._next = self._next, self._next + 2
        body = b"\0" + len(request).to_bytes(4, "big") + request
        frames = _frame(_HEADERS, _END_HEADERS, stream, head) + _frame(_DATA, _END_STREAM, stream, body)
        self._began[stream] = time.perf_counter() if began is None else began
        self.socket.sendall(frames)

    def begin(self, head: bytes, part: bytes | None) -> None:
        """Begin a call that never comes to its end; without a part of its message it is given up at once."""
        stream, self._next = self._next, self._next + 2
        rest = _frame(_RESET, 0, stream, bytes(4)) if part is None else _frame(_DATA, 0, stream, part)
        self.socket.sendall(_frame(_HEADERS, _END_HEADERS, stream, head) + rest)

    def receive(self) -> list[Answer]:
        """Take what has come, and return the calls that ended."""
        data = self._rest + self.socket.recv(1 << 18)
        at, answers = 0, []
        while len(data) - at >= _FRAME:
            end = at + _FRAME + int.from_bytes(data[at : at + 3], "big")
            if len(data) < end:
                break
            kind, flags, stream = data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big")
            self._take(kind, flags, stream, data[at + _FRAME : end])
            if kind in {_HEADERS, _RESET} and (flags & _END_STREAM or kind == _RESET):
                seconds = time.perf_counter() - self._began.pop(stream)
                answers.append(Answer(seconds, self._messages.pop(stream, b"")[_PREFIX:]))
            at = end
        self._rest = data[at:]
        return answers

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._messages[stream] = message = self._messages.get(stream, b"") + payload
            whole = len(message) >= _PREFIX and len(message) == _PREFIX + int.from_bytes(message[1:5], "big")
            if self.on_message is not None and whole:
                self.on_message(self._messages.pop(stream)[_PREFIX:])
        elif kind == _SETTINGS and not flags & _ACK:
            self.socket.sendall(_frame(_SETTINGS, _ACK, 0))
        elif kind == _PING and not flags & _ACK:
            self.socket.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind == _AWAY:
            raise ConnectionError(f"the server sends us away: {payload[8:]!r}")

    def close(self) -> None:
        """End every call."""
        self.socket.close()


class Load(NamedTuple):
    """Who calls, and how often."""

    paths: Sequence[str]
    each: int
    """Callers on the connection to each path; each has one call under way at most."""
    requests: Sequence[Sequence[bytes]]
    """Those of each path, sent in turn."""
    seconds: float
    rate: float | None = None
    """Calls of each caller in a second; None: the next one as soon as the last is answered."""


class _Callers:
    """The callers of one connection."""

    def __init__(self, path: str, load: Load, requests: Sequence[bytes], chance: Random) -> None:
        self.connection = Connection(path)
        self.times: list[float] = []
        self.refused = 0
        self._rate = load.rate
        self._requests = itertools.cycle(requests)
        self._head = headers("Allocate")
        # Not in step with each other.
        now, apart = time.perf_counter(), 1 / load.rate if load.rate else 0.0
        self.due = [now + chance.uniform(0, apart) for _ in range(load.each)]
        """When each caller that waits calls next; whoever waits for an answer is not among them."""
        self._under_way: list[float] = []

    def call(self) -> float | None:
        """Make the calls that are due, and return when the next one is."""
        now = time.perf_counter()
        for when in sorted(self.due):
            if when > now:
                return when
            self.due.remove(when)
            self._under_way.append(when)
            # What was due while an answer was late counts from then: its lateness is the server's.
            self.connection.call(self._head, next(self._requests), when if now - when > _LATE else None)
        return None

    def receive(self) -> None:
        """Take the answers that have come."""
        for answer in self.connection.receive():
            self.times.append(answer.seconds)
            self.refused += not answer.message
            when = self._under_way.pop(0)
            self.due.append(when + 1 / self._rate if self._rate else time.perf_counter())


def called(load: Load) -> tuple[list[float], int]:
    """Call Allocate; return the seconds that each call took, and how many answers had no message."""
    chance = Random(0)  # noqa: S311 - the same ones each time
    callers = [
        _Callers(path, load, requests, chance)
        for path, requests in zip(load.paths, load.requests, strict=True)
    ]
    with selectors.DefaultSelector() as selector:
        for one in callers:
            selector.register(one.connection.socket, selectors.EVENT_READ, one)
        until = time.perf_counter() + load.seconds
        while time.perf_counter() < until:
            due = [when for one in callers if (when := one.call()) is not None]
            for key, _ in selector.select(max(min(due, default=until) - time.perf_counter(), 0)):
                key.data.receive()
        for one in callers:
            one.connection.close()
    return [seconds for one in callers for seconds in one.times], sum(one.refused for one in callers)
