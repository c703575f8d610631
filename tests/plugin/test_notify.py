"""What a service manager is told, at a socket that the test plays."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.plugin.kubelet.kubelet import Kubelet, Settings
from tests.plugin.scene import GPU, NIC, offer, scene
from tests.plugin.test_serving import R, begin, configure
from vfioctl.plugin.attendants import attended
from vfioctl.plugin.manager import ServiceManager
from vfioctl.plugin.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from vfioctl.plugin.supervisor import Supervisor

BOTH = (offer(GPU, "a", "-b"), offer(NIC, "x"))


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, channel: socket.socket) -> None:
        """Listen here."""
        self.channel = channel
        self.heard: list[str] = []

    async def until(self, line: str) -> list[str]:
        """Wait for a line that begins so; return all that were heard until then, and forget them."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            while not any(one.startswith(line) for one in self.heard):
                self.heard += (await loop.sock_recv(self.channel, 4096)).decode().split("\n")
        heard, self.heard = self.heard, []
        return heard


@contextmanager
def manager(address: str) -> Iterator[Manager]:
    """Bind to an address as a service manager does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(0)
        channel.bind(address)
        yield Manager(channel)


@asynccontextmanager
async def told(
    place: Path, *, kubelet_runs: bool = True, watchdog: str = ""
) -> AsyncIterator[tuple[Manager, Notifier, Supervisor]]:
    """Run a plugin that tells how it goes."""
    address = str(place / "notify")
    notifier = Notifier(ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": watchdog}))
    with manager(address) as listening:
        async with (
            scene(place, *BOTH, kubelet_runs=kubelet_runs) as stage,
            attended(word=notifier.keep_telling(stage.plugin)),
        ):
            yield listening, notifier, stage.plugin


def test_ready_is_when_everything_is_registered(place: Path) -> None:
    """And STATUS= says how it stands."""

    async def run() -> None:
        async with told(place) as (manager_, _, _):
            heard = await manager_.until("READY=1")
            assert "STATUS=2 of 2 resources registered, 3 items, 2 healthy" in heard
            assert not any(line.startswith("WATCHDOG") for line in heard)

    asyncio.run(run())


def test_ready_does_not_wait_for_a_kubelet(place: Path) -> None:
    """What is ordered after the plugin may be the kubelet."""

    async def run() -> None:
        async with told(place, kubelet_runs=False) as (manager_, _, _):
            heard = await manager_.until("READY=1")
            assert any("there is no kubelet: 2 resources wait for it" in line for line in heard), heard

    asyncio.run(run())


def test_a_reload_begins_and_ends(place: Path) -> None:
    """RELOADING=1 with the time, and READY=1 when the configuration was read, good or bad."""

    async def run() -> None:
        async with told(place) as (manager_, notifier, plugin):
            await manager_.until("READY=1")
            before = monotonic() * 1e6
            notifier.reloading(plugin)
            plugin.reload()
            heard = await manager_.until("READY=1")
            assert heard[heard.index("RELOADING=1") + 1].startswith("MONOTONIC_USEC=")
            (moment,) = [line.partition("=")[2] for line in heard if line.startswith("MONOTONIC_USEC=")]
            assert before <= int(moment) + 1 <= monotonic() * 1e6

    asyncio.run(run())


def test_the_watchdog_is_fed_only_while_looks_come_to_an_end(place: Path) -> None:
    """A loop that turns without looking serves old news for ever."""

    async def run() -> None:
        async with told(place, watchdog="30000") as (manager_, _, plugin):
            await manager_.until("READY=1")
            await manager_.until("WATCHDOG=1")
            plugin.look.last_try = monotonic() - 1000
            await manager_.until("STATUS=2 of 2 resources registered, 3 items, 2 healthy; no look")
            await asyncio.sleep(0.05)
            with pytest.raises(BlockingIOError):
                manager_.channel.recv(100)
            plugin.look.last_try = monotonic()
            await manager_.until("WATCHDOG=1")

    asyncio.run(run())


def test_what_is_for_this_process_is_not_inherited() -> None:
    """A child that spoke for the plugin would be believed."""
    environment = {
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/bin",
    }

    assert ServiceManager(environment).watchdog == 30.0
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "x"}, 0.0),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "1000000"}, 1.0),
    ],
)
def test_the_watchdog_is_for_the_process_that_is_named(given: dict[str, str], seconds: float) -> None:
    """Else somebody else is to feed it."""
    assert ServiceManager(dict(given)).watchdog == seconds


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/notify"])
def test_a_manager_that_does_not_listen_is_no_trouble(address: str) -> None:
    """The plugin serves without one."""
    ServiceManager({"NOTIFY_SOCKET": address}).say("READY=1")


def test_an_abstract_address_is_reached() -> None:
    """As containers and older managers give."""

    async def run() -> None:
        name = f"vfioctl-test-{os.getpid()}"
        with manager(f"\0{name}") as listening:
            ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).say("READY=1", "STATUS=here")
            assert await listening.until("READY=1") == ["READY=1", "STATUS=here"]

    asyncio.run(run())


@pytest.mark.slow
def test_the_program_tells_from_its_start_to_its_end(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY, SIGHUP, SIGTERM: in a process of its own, as systemd has it."""

    async def run() -> None:
        configure(place)
        address = str(place / "notify")
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        with manager(address) as listening:
            async with Kubelet(str(place), Settings(dial=2.0)) as kubelet:
                process = await begin(place)
                heard = await listening.until("READY=1")
                assert any("1 of 1 resources registered" in line for line in heard), heard
                assert kubelet.books.counts(R)[0] == 3
                process.send_signal(signal.SIGHUP)
                assert "RELOADING=1" in await listening.until("READY=1")
                process.send_signal(signal.SIGTERM)
                await listening.until("STOPPING=1")
                _, said = await asyncio.wait_for(process.communicate(), 10)
                assert process.returncode == 0, said.decode()

    asyncio.run(run())
