"""Callers that cost next to nothing: gRPC's frames written by hand, requests made once and sent as they are.

A Python client would take longer for a call than the server that is measured. Here the time runs from the
write of a request to the end of its answer, with some 20 microseconds of this process in between. The headers
are those of a kubelet (grpc-go), without compression of their names.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SERVICE = "/v1beta1.DevicePlugin"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _AWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_FRAME, _PREFIX = 9, 5
_WIDE = 1 << 30


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

    def call(self, head: bytes, request: bytes) -> None:
        """Begin a call."""
        stream, self._next = self._next, self._next + 2
        body = b"\0" + len(request).to_bytes(4, "big") + request
        frames = _frame(_HEADERS, _END_HEADERS, stream, head) + _frame(_DATA, _END_STREAM, stream, body)
        self._began[stream] = time.perf_counter()
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


def closed_loop(
    paths: Sequence[str], each: int, requests: Sequence[Sequence[bytes]], seconds: float
) -> tuple[list[float], int]:
    """Call Allocate for so many seconds: `each` callers to a path, each with one call under way.

    ``requests`` has the requests of each path, sent in turn. Returns the seconds that each call took, and how
    many answers had no message.
    """
    head = headers("Allocate")
    times: list[float] = []
    refused = 0
    with selectors.DefaultSelector() as selector:
        places = {Connection(path): 0 for path in paths}
        pools = dict(zip(places, requests, strict=True))
        for connection, pool in pools.items():
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            for number in range(each):
                connection.call(head, pool[number % len(pool)])
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            for key, _ in selector.select(1):
                connection = key.data
                for answer in connection.receive():
                    times.append(answer.seconds)
                    refused += not answer.message
                    places[connection] += 1
                    pool = pools[connection]
                    connection.call(head, pool[places[connection] % len(pool)])
        for connection in places:
            connection.close()
    return times, refused
