"""A small HTTP server for probes and scrapers: it reads a request's head, answers, and closes.

Everything about it is bounded, since whoever reaches the port may speak to it: the size of a head, the time
that a conversation takes, how many there are at once. The servers that come with Python and with the metrics'
library take a thread for each connection, without a bound, and wait for ever for a head that does not end.
"""

from __future__ import annotations

import asyncio
import logging

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.talks import Talks, say_last
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeAlias

MOST_AT_ONCE = 32
"""Conversations; a probe and a few scrapers have one each."""
LARGEST_HEAD = 8192
"""Bytes of a request's line and fields."""
PATIENCE = 10.0
"""Seconds for one conversation, as scrapers wait for an answer."""

TEXT = "text/plain; charset=utf-8"

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

log = logging.getLogger("vfioctl.plugin")


class Page(NamedTuple):
    """An answer."""

    status: int
    body: bytes
    content_type: str = TEXT


Pages: TypeAlias = "Mapping[str, Callable[[str], Awaitable[Page]]]"
"""By path: what makes the answer, given what the asker accepts."""


class HttpServer:
    """Serves pages at one address."""

    def __init__(self, pages: Pages, patience: float = PATIENCE) -> None:
        """Make it; nothing is served yet."""
        self._pages = pages
        self._patience = patience
        self._talks = Talks(self._talk, MOST_AT_ONCE, _encoded(Page(503, b"too many connections\n")))
        self._server: asyncio.Server | None = None

    async def start(self, host: str | None, port: int) -> int:
        """Serve at a host's address, or at every one of this machine; return the port.

        Raises:
            OSError: the port is taken, or there is no such address here.

        """
        self._server = await asyncio.start_server(self._talks.greet, host, port, limit=LARGEST_HEAD)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """End every conversation, and close."""
        if self._server is not None:
            self._server.close()
        await self._talks.end()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self._patience):
            await say_last(writer, await self._answer(reader))

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _encoded(Page(431, b"the request is too long\n"))
        lines = head.decode("latin-1").split("\r\n")
        method, _, rest = lines[0].partition(" ")
        target, _, version = rest.partition(" ")
        if not version.startswith("HTTP/1."):
            return _encoded(Page(400, b"this is no HTTP/1 request\n"))
        if method not in {"GET", "HEAD"}:
            return _encoded(Page(405, b"GET and HEAD only\n"))
        page = await self._page(target.partition("?")[0], _field(lines[1:], "accept"))
        return _encoded(page, with_body=method == "GET")

    async def _page(self, path: str, accepted: str) -> Page:
        make = self._pages.get(path)
        if make is None:
            return Page(404, f"there is: {' '.join(self._pages)}\n".encode())
        try:
            return await make(accepted)
        except Exception:
            log.exception("%s could not be answered", path)
            return Page(500, b"see the log\n")


def _field(lines: list[str], wanted: str) -> str:
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == wanted:
            return value.strip()
    return ""


def _encoded(page: Page, *, with_body: bool = True) -> bytes:
    fields = {
        "Content-Type": page.content_type,
        "Content-Length": len(page.body),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
    }
    if page.status == 405:  # noqa: PLR2004 - the code that demands it
        fields["Allow"] = "GET, HEAD"
    lines = [f"HTTP/1.1 {page.status} {_REASONS[page.status]}", *(f"{k}: {v}" for k, v in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + (page.body if with_body else b"")
