"""Garbage, and half of what is right, on the plugin's sockets: the admin's, a resource's, the scrapers' port.

After each connection a right question on the same socket must be answered.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.fuzz.fence import DOORS
from tests.fuzz.stage import quiet
from tests.plugin.scene import Eyes, Table, offer
from vfioctl.plugin.admin import Admin
from vfioctl.plugin.http import HttpServer, Page
from vfioctl.plugin.server import ResourceServer
from vfioctl.plugin.service import Service
from vfioctl.plugin.sockets import is_socket
from vfioctl.plugin.steering import Steering
from vfioctl.plugin.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fuzz.target import Run

SHARE = 0.02
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
SEEDS = (
    b"a" + b'{"version": 1, "command": "status"}\n',
    b"a" + b'{"version": 1, "comm',
    b"g" + _PREFACE,
    b"g" + _PREFACE + b"\0\0\x04\x01\x05\0\0\0\x01\x82\x86\x84\x41",
    b"g" + _PREFACE[:20],
    b"h" + b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    b"h" + b"POST /readyz HTTP/1.0\r\nContent-Length: 99999999\r\n\r\nx",
    b"h" + b"GET /" + b"a" * 3000,
)
WORDS = (
    _PREFACE,
    b"\r\n\r\n",
    b"GET ",
    b"HTTP/1.1",
    b"\0\0\0\x04\x01\0\0\0\0",
    b"\0\0\x08\x06\0\0\0\0\0",
    b"\xff" * 9,
)
_PATIENCE = 5.0


def prepare(place: Path) -> Run:
    """Serve, and talk to what is served from another thread."""
    quiet()
    doors: dict[str, Callable[[], socket.socket]] = {}
    ready = threading.Event()

    async def serve() -> None:
        rules = Table(str(place))
        offered = rules.judge((offer("a.io/b", "a"),))[0]
        plugin = Supervisor(Eyes(), rules, lambda held: held)
        admin, resource = str(place / "admin.sock"), str(place / "resource.sock")
        server, pages = ResourceServer(Service(offered[0], rules), resource), HttpServer({"/x": _page}, 0.2)
        await server.start()
        port = await pages.start("127.0.0.1", 0)
        doors.update(a=lambda: _unix(admin), g=lambda: _unix(resource), h=lambda: _tcp(port))
        talking = asyncio.create_task(Admin(Steering(plugin, str(place / "cordons")), admin, 0.2).run())
        DOORS.add(("127.0.0.1", port))
        while not is_socket(admin):  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(0.01)
        ready.set()
        try:
            await talking
        finally:
            await server.stop()
            await pages.stop()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    assert ready.wait(_PATIENCE)

    def run(data: bytes) -> None:
        name = data[:1].decode("latin-1")
        door = doors.get(name, doors["a"])
        with door() as channel, suppress(OSError):
            channel.sendall(data[1:])
            if data[-1:] != b"\n":
                channel.recv(1)
        _QUESTIONS.get(name, _ask_admin)(door)

    return run


async def _page(accepted: str) -> Page:
    return Page(200, accepted.encode("latin-1"))


def _unix(path: str) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.settimeout(_PATIENCE)
    channel.connect(path)
    return channel


def _tcp(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), _PATIENCE)


def _ask_admin(door: Callable[[], socket.socket]) -> None:
    with door() as channel:
        channel.sendall(b'{"version": 1, "command": "status"}\n')
        assert "result" in json.loads(_all(channel))


def _ask_pages(door: Callable[[], socket.socket]) -> None:
    with door() as channel:
        channel.sendall(b"GET /x HTTP/1.1\r\nAccept: y\r\n\r\n")
        assert _all(channel).endswith(b"\r\n\r\ny")


def _ask_resource(door: Callable[[], socket.socket]) -> None:
    """Ask for a connection of HTTP/2: its settings are the answer."""
    with door() as channel:
        channel.sendall(_PREFACE)
        assert channel.recv(9)[3:4] == b"\x04"


def _all(channel: socket.socket) -> bytes:
    parts = []
    while part := channel.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


_QUESTIONS = {"a": _ask_admin, "g": _ask_resource, "h": _ask_pages}
