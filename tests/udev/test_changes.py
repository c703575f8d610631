"""Real reports, of the loopback device: they arrive in order, and what is lost is said."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from contextlib import aclosing

import pytest

from tests.support.descriptors import open_files
from vfioctl.udev import changes as room
from vfioctl.udev.changes import RESYNC, Change, changes

LOOPBACK = "/sys/class/net/lo/uevent"
REPORTS_OF_KERNEL = 15  # NETLINK_KOBJECT_UEVENT


def report(times: int = 1, action: str = "change") -> None:
    """Have the kernel report the loopback device once more, as udevadm trigger does."""
    loop = f"i=0; while [ $i -lt {times} ]; do echo {action} > {LOOPBACK}; i=$((i+1)); done"
    subprocess.run(["sh", "-c", loop], check=True, capture_output=True)


@pytest.fixture(scope="module")
def kernel() -> None:
    """Skip where this process cannot have the kernel report something, or does not hear it."""
    if not os.access(LOOPBACK, os.W_OK):
        pytest.skip(f"{LOOPBACK} cannot be written to")
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, REPORTS_OF_KERNEL) as ear:
            ear.bind((0, 1))
            ear.settimeout(0.5)
            report()
            ear.recv(4096)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the kernel's reports do not reach this process: {error}")


@pytest.mark.usefixtures("kernel")
def test_reports_of_the_wanted_subsystems_arrive_in_order() -> None:
    """Others are filtered by the kernel and wake nobody."""

    async def run() -> list[Change]:
        async with aclosing(changes(["net"])) as wanted, aclosing(changes(["pci", "vfio"])) as others:
            first, never = asyncio.ensure_future(anext(wanted)), asyncio.ensure_future(anext(others))
            await asyncio.sleep(0)
            report()
            report(action="add")
            seen = [await asyncio.wait_for(first, 2), await asyncio.wait_for(anext(wanted), 2)]
            assert not never.done()
            never.cancel()
            await asyncio.wait([never])
            return seen

    place = "/devices/virtual/net/lo"
    assert asyncio.run(run()) == [Change("change", "net", "lo", place), Change("add", "net", "lo", place)]


@pytest.mark.usefixtures("kernel")
def test_lost_reports_are_one_resync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel drops what does not fit into the socket, and says so once (ENOBUFS)."""
    monkeypatch.setattr(room, "_BUFFER_BYTES", 1)

    async def run() -> list[Change]:
        async with aclosing(changes(["net"])) as stream:
            first = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            report(times=100)
            seen = [await first]
            while not first.cancelled() and len(seen) < 100:
                try:
                    seen.append(await asyncio.wait_for(anext(stream), 0.2))
                except TimeoutError:
                    break
            return seen

    seen = asyncio.run(run())

    assert seen.count(Change(RESYNC)) == 1
    assert len(seen) < 100


@pytest.mark.usefixtures("kernel")
def test_nothing_stays_open() -> None:
    """Closing the iterator closes its socket."""

    async def run() -> None:
        for _ in range(3):
            async with aclosing(changes()) as stream:
                waiting = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting])

    asyncio.run(run())
    before = open_files()
    asyncio.run(run())

    assert open_files() <= before
