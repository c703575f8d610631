"""Whoever reaches the port may speak to it: nobody else waits for that, and nothing grows."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from vfioctl.plugin.http import LARGEST_HEAD, MOST_AT_ONCE, HttpServer, Page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GET = b"GET /page HTTP/1.1\r\nHost: x\r\nAccept: a/b\r\n\r\n"


async def page(accepted: str) -> Page:
    """Say what is accepted."""
    return Page(200, f"<{accepted}>".encode())


async def broken(_accepted: str) -> Page:
    """Fail."""
    raise ZeroDivisionError


@asynccontextmanager
async def server(patience: float = 10.0, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve two pages, and yield the port."""
    one = HttpServer({"/page": page, "/broken": broken}, patience)
    try:
        yield await one.start(host, 0)
    finally:
        await one.stop()


async def ask(port: int, request: bytes = GET, host: str = "127.0.0.1") -> bytes:
    """Send a request, and read until the other side closes."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.transport.abort()


async def until_status(port: int, status: bytes) -> None:
    """Ask until this is the answer."""
    async with asyncio.timeout(10):
        while not (await ask(port)).startswith(b"HTTP/1.1 " + status):
            pass


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (GET, b"200 OK", b"<a/b>"),
        (GET.replace(b"/page", b"/page?x=1"), b"200 OK", b"<a/b>"),
        (GET.replace(b"GET", b"HEAD"), b"200 OK", b""),
        (GET.replace(b"GET", b"POST"), b"405 Method Not Allowed", b"GET and HEAD only\n"),
        (GET.replace(b"/page", b"/../etc/passwd"), b"404 Not Found", b"there is: /page /broken\n"),
        (GET.replace(b"/page", b"/broken"), b"500 Internal Server Error", b"see the log\n"),
        (GET.replace(b"HTTP/1.1", b"HTTP/2.0"), b"400 Bad Request", b"this is no HTTP/1 request\n"),
        (b"\x00\xff\r\n\r\n", b"400 Bad Request", b"this is no HTTP/1 request\n"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * LARGEST_HEAD, b"431 Request Header Fields Too Large", None),
    ],
)
def test_a_request_is_answered_and_the_connection_closed(
    request_: bytes, status: bytes, body: bytes | None
) -> None:
    """A fault of a page is an answer too."""

    async def run() -> None:
        async with server() as port:
            answer = await ask(port, request_)
            assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n"), answer
            if body is not None:
                assert answer.partition(b"\r\n\r\n")[2] == body

    asyncio.run(run())


def test_one_that_says_nothing_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    """After its time, without an answer and without a word in the log."""

    async def run() -> None:
        async with server(patience=0.05) as port:
            assert await ask(port, b"GET /page HT") == b""

    asyncio.run(run())
    assert not caplog.records


def test_too_many_are_turned_away_until_others_have_gone() -> None:
    """As many as fit are waited for; the next one is told so at once."""

    async def run() -> None:
        async with server() as port:
            slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_AT_ONCE)]
            await until_status(port, b"503")
            for _, writer in slow:
                writer.close()
            await until_status(port, b"200")

    asyncio.run(run())


def test_it_serves_on_ipv6() -> None:
    """As in "[::1]:9464"."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("there is no IPv6 here")

    async def run() -> None:
        async with server(host="::1") as port:
            assert (await ask(port, host="::1")).endswith(b"<a/b>")

    asyncio.run(run())
