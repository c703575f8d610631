"""`cdi generate --watch`: the specification follows the devices."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.plugin.factory import card, given, machine
from vfioctl.cli import cdi_watch
from vfioctl.cli.cdi_watch import Follower
from vfioctl.cli.export_targets import Wish
from vfioctl.errors import NotPermittedError, VfioctlError
from vfioctl.export.cdi import Access
from vfioctl.export.cdi_files import FILE_NAME, read_stored
from vfioctl.model.selector import Selector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from tests.cli.conftest import Ask
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host

NIC = given("0000:65:00.0", 7)
FREE = NIC._replace(driver="igb", vfio_group_node=None)
CARD = card(0x66, 8)
EVERYTHING = Wish((), "auto", Access())


class World:
    """A host that the test changes, and a doorbell that the test rings."""

    def __init__(self, folder: Path, *devices: PciDevice, wish: Wish = EVERYTHING) -> None:
        """Begin with these devices."""
        self.host = machine(*devices)
        self.error: VfioctlError | None = None
        self.failed = 0
        self.said: list[str] = []
        self.stored: list[list[str]] = []
        """What was stored each time something was said of it."""
        self.folder = folder
        self.rings: asyncio.Queue[Exception | None] = asyncio.Queue()
        self.follower = Follower(self.look, str(folder), wish, self.note, self.said.append)

    def note(self, text: str) -> None:
        """Be told what is stored."""
        self.said.append(text)
        self.stored.append(self.names())

    def look(self) -> Host:
        """Look."""
        if self.error is not None:
            self.failed += 1
            raise self.error
        return self.host

    async def changes(self) -> AsyncIterator[object]:
        """Ring."""
        while True:
            rung = await self.rings.get()
            if rung is not None:
                raise rung
            yield "change"

    def see(self, *devices: PciDevice) -> None:
        """Change the host, and ring."""
        self.host = machine(*devices)
        self.rings.put_nowait(None)

    def names(self) -> list[str]:
        """Return the addresses that are stored."""
        found = read_stored(str(self.folder))
        return [str(device.address) for device in found.devices] if found else []

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition."""
        end = asyncio.get_running_loop().time() + 10
        while not holds():
            assert asyncio.get_running_loop().time() < end, self.said
            await asyncio.sleep(0.002)

    def play(self, story: Callable[[], Coroutine[None, None, None]]) -> None:
        """Follow while a story is told."""

        async def run() -> None:
            following = asyncio.create_task(self.follower.run(self.changes()))
            try:
                await story()
                assert not following.done()
            finally:
                following.cancel()

        asyncio.run(run())


def test_it_follows_what_is_bound_and_unbound(tmp_path: Path) -> None:
    """From the first look on, once for each change, until nothing is left: then there is no file."""
    world = World(tmp_path, FREE)

    async def story() -> None:
        await world.until(lambda: bool(world.said))
        assert world.names() == []
        world.see(NIC)
        await world.until(lambda: world.names() == ["0000:65:00.0"])
        world.see(NIC, *CARD)
        await world.until(lambda: len(world.names()) == 3)
        world.see(FREE)
        await world.until(lambda: not (tmp_path / FILE_NAME).exists())
        world.see(FREE)
        await world.until(world.rings.empty)

    world.play(story)
    assert [line.partition(": ")[2] for line in world.said] == [
        "no device is on a vfio driver",
        "0000:65:00.0",
        "0000:65:00.0 0000:66:00.0 0000:66:00.1",
        "no device is on a vfio driver",
    ]
    assert [len(names) for names in world.stored] == [0, 1, 3, 0]


def test_what_is_selected_may_come_later_and_brings_its_group(tmp_path: Path) -> None:
    """A device that is named need not be bound, nor be there."""
    wish = Wish((Selector.parse("66:00.1"),), "legacy", Access(107, 36, 0o660))
    world = World(tmp_path, NIC, wish=wish)

    async def story() -> None:
        await world.until(lambda: bool(world.said))
        assert world.names() == []
        world.see(NIC, *CARD)
        await world.until(lambda: world.names() == ["0000:66:00.0", "0000:66:00.1"])

    world.play(story)
    found = read_stored(str(tmp_path))
    assert found is not None
    assert found.devices[0].nodes[1].access == Access(107, 36, 0o660)


def test_a_failure_is_said_once_and_tried_again(tmp_path: Path) -> None:
    """Later; what fails at the very beginning ends it."""
    world = World(tmp_path, NIC)

    async def story() -> None:
        await world.until(lambda: bool(world.said))
        world.error = VfioctlError("sysfs is gone", hint="wait")
        for looks in (1, 2, 3):
            world.see(NIC, *CARD)
            await world.until(lambda least=looks: world.failed >= least)  # type: ignore[misc] # a loop's
        world.error = None
        world.see(NIC, *CARD)
        await world.until(lambda: len(world.names()) == 3)

    world.play(story)
    assert world.said.count("sysfs is gone (wait)") == 1

    first = World(tmp_path / "other", NIC)
    first.error = NotPermittedError("no", hint="root")
    with pytest.raises(NotPermittedError):
        asyncio.run(first.follower.run(first.changes()))


def test_without_the_kernels_reports_it_looks_from_time_to_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container with a user namespace."""
    monkeypatch.setattr(cdi_watch, "_AGAIN", 0.01)
    world = World(tmp_path, NIC)

    async def story() -> None:
        await world.until(lambda: bool(world.names()))
        world.rings.put_nowait(OSError(1, "Operation not permitted"))
        await world.until(lambda: any("cannot be had" in line for line in world.said))
        world.host = machine(NIC, *CARD)
        await world.until(lambda: len(world.names()) == 3)

    world.play(story)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_when_told_to(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """A unit is stopped without a failure; Ctrl-C is one, as everywhere."""
    command = [sys.executable, "-m", "vfioctl", "cdi", "generate", "--watch", "--dir", str(tmp_path / "cdi")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watch:
        assert watch.stderr is not None
        first = watch.stderr.readline()
        watch.send_signal(number)
        _, rest = watch.communicate(timeout=20)

    assert FILE_NAME in first
    assert "Traceback" not in rest
    assert watch.returncode == code


def test_systemd_is_told_when_the_names_are_written(tmp_path: Path) -> None:
    """Containers that it starts after this find theirs."""
    folder, address = tmp_path / "cdi", tmp_path / "notify"
    command = [sys.executable, "-m", "vfioctl", "cdi", "generate", "--watch", "--dir", str(folder)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(20)
        manager.bind(str(address))
        surroundings = {**os.environ, "NOTIFY_SOCKET": str(address)}
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=surroundings) as watch:
            told = [manager.recv(4096).decode().split("\n") for _ in range(2)]
            watch.terminate()

    assert [lines[0] for lines in told] == [
        "STATUS=waiting for udev to give devices their drivers",
        "READY=1",
    ]
    assert told[1][1].startswith(f"STATUS={folder}/{FILE_NAME}: ")


@pytest.mark.parametrize(
    ("words", "host", "text"),
    [
        (["--print"], None, "--print does not"),
        (["--json", "--dir", "cdi"], None, "no JSON form"),
        (["--dir", "cdi"], "sample", "sample does not change"),
    ],
)
def test_what_cannot_be_watched_is_refused(words: list[str], host: str | None, text: str, ask: Ask) -> None:
    """A recorded host does not change."""
    ended = (
        ask("cdi", "generate", "--watch", *words, host=host)
        if host
        else ask("cdi", "generate", "--watch", *words)
    )

    assert ended.code == 2
    assert text in ended.err
