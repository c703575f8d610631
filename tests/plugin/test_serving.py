"""The program itself, in a process of its own, with a kubelet: it ends, is killed, is told to read again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.kubelet.kubelet import Kubelet, Settings
from tests.plugin.kubelet.places import told
from tests.plugin.kubelet.pods import pod
from tests.plugin.scene import sockets
from vfioctl.plugin.asking import ask
from vfioctl.plugin.protocol import Request

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.slow

R = "foo.com/null"
NULL = "/dev/null"
MORE = '\n[[resource]]\nname = "foo.com/zero"\nkind = "node"\npaths = ["/dev/zero"]\n'


def configure(place: Path, *, paths: str = NULL, more: str = "") -> None:
    """Write the configuration: three times one node."""
    text = f'{told(place)}[[resource]]\nname = "{R}"\nkind = "node"\n'
    (place / "plugin.toml").write_text(f'{text}paths = ["{paths}"]\ncount = 3\n{more}')


async def begin(place: Path) -> Process:
    """Start the program."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vfioctl", "serve-plugin", "--config", str(place / "plugin.toml")),
        env={
            **os.environ,
            "VFIOCTL_PLUGIN_LOCK": str(place / "lock"),
            "VFIOCTL_PLUGIN_SOCKET": str(place / "plugin.sock"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        stderr=asyncio.subprocess.PIPE,
    )


async def asked(place: Path, command: str, subject: str = "") -> dict[str, Any]:
    """Ask the program that runs, as soon as it can be asked."""
    return await asyncio.to_thread(ask, Request(command, subject), str(place / "plugin.sock"), 10.0)


async def heard(process: Process, words: str) -> str:
    """Wait until the program says something, and return that line."""
    assert process.stderr is not None
    async with asyncio.timeout(10):
        while words not in (line := (await process.stderr.readline()).decode()):
            assert line, f"it ended and never said: {words}"
    return line


async def finish(process: Process, number: int) -> tuple[int, float, str]:
    """Send a signal; return the exit code, the seconds it took, and what was said."""
    began = time.monotonic()
    process.send_signal(number)
    _, said = await asyncio.wait_for(process.communicate(), 10)
    return process.returncode or 0, time.monotonic() - began, said.decode()


async def started(kubelet: Kubelet, healthy: int) -> None:
    """Wait until the program, which was just begun, has registered; a busy machine takes seconds for that."""
    await kubelet.until(lambda: kubelet.books.counts(R) == (3, healthy), within=30.0)


@asynccontextmanager
async def serving(place: Path) -> AsyncIterator[tuple[Kubelet, Process]]:
    """Run a kubelet and the program, until everything is registered."""
    configure(place)
    async with Kubelet(str(place), Settings(dial=2.0)) as kubelet:
        process = await begin(place)
        try:
            await started(kubelet, 3)
            yield kubelet, process
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


def test_it_ends_at_once_and_empties_no_list(place: Path) -> None:
    """SIGTERM: exit 0 within two seconds, no socket left; capacity stays for the next start.

    Whoever has half asked something is not waited for.
    """

    async def run() -> None:
        async with serving(place) as (kubelet, process):
            status = await asked(place, "status")
            assert (status["pid"], status["kubelet"]["sockets"]) == (process.pid, kubelet.plugins)
            _, stranger = await asyncio.open_unix_connection(str(place / "plugin.sock"))
            stranger.write(b'{"version"')
            await stranger.drain()
            code, seconds, said = await finish(process, signal.SIGTERM)
            assert code == 0, said
            assert seconds < 2
            await kubelet.until_counts(R, 3, 0)
            assert [len(event[2]) for event in kubelet.happened("listed", R)] == [3]
            assert sockets(kubelet.plugins) == []
            assert "Traceback" not in said
            stranger.close()

    asyncio.run(run())


def test_a_second_one_is_refused(place: Path) -> None:
    """Exit 9, naming the first; which serves on."""

    async def run() -> None:
        async with serving(place) as (kubelet, process):
            second = await begin(place)
            _, said = await asyncio.wait_for(second.communicate(), 10)
            assert second.returncode == 9
            assert f"error: serve-plugin runs already (pid {process.pid})" in said.decode()
            assert kubelet.books.counts(R) == (3, 3)

    asyncio.run(run())


def test_killed_while_allocated_and_started_again(place: Path) -> None:
    """The pod keeps what it has, its containers restart meanwhile; the next one has a new socket."""

    async def run() -> None:
        async with serving(place) as (kubelet, process):
            one = await kubelet.run(pod("one", {R: 2}))
            assert one.phase == "Running", one.message
            held = kubelet.books.bookings[one.uid, "main"][R].ids
            left = sockets(kubelet.plugins)
            await finish(process, signal.SIGKILL)
            await kubelet.until_counts(R, 3, 0)
            assert sockets(kubelet.plugins) == left
            grant = await kubelet.start_container(one, one.containers[0])
            assert grant is not None
            assert [node.container_path for node in grant[R].devices] == [NULL]
            again = await begin(place)
            await started(kubelet, 3)
            assert not set(left) & set(sockets(kubelet.plugins))
            two = await kubelet.run(pod("two", {R: 1}))
            assert two.phase == "Running", two.message
            assert not held & kubelet.books.bookings[two.uid, "main"][R].ids
            code, _, said = await finish(again, signal.SIGTERM)
            assert code == 0, said
            assert f"removed {left[0]}, left behind by an earlier start" in said

    asyncio.run(run())


def test_a_configuration_is_read_again(place: Path) -> None:
    """SIGHUP: a bad one changes nothing and is said; a good one adds a resource and disturbs none."""

    async def run() -> None:
        async with serving(place) as (kubelet, process):
            good = (place / "plugin.toml").read_text()
            (place / "plugin.toml").write_text(good.replace("kubelet_dir", "kubelet_dri"))
            process.send_signal(signal.SIGHUP)
            said = await heard(process, "the configuration was not taken over")
            assert "plugin.toml: plugin.kubelet_dri: " in said
            assert kubelet.books.counts(R) == (3, 3)
            configure(place, more=MORE)
            process.send_signal(signal.SIGHUP)
            await kubelet.until_counts("foo.com/zero", 1, 1)
            assert len(kubelet.happened("register", R)) == 1
            code, _, said = await finish(process, signal.SIGTERM)
            assert code == 0, said

    asyncio.run(run())


def test_a_node_that_is_gone_is_unhealthy_and_denied(place: Path) -> None:
    """Seen at the next look; before that, Allocate says so: a container would fail to start."""

    async def run() -> None:
        node = place / "node"
        os.symlink(NULL, node)
        async with serving(place) as (kubelet, process):
            configure(place, paths=str(node))
            process.send_signal(signal.SIGHUP)
            await heard(process, "the configuration was taken over")
            os.unlink(node)
            denied = await kubelet.run(pod("denied", {R: 1}))
            assert denied.phase == "Failed"
            assert "code = FailedPrecondition desc = " in (denied.message or ""), denied.message
            assert "no-node" in (denied.message or "")
            process.send_signal(signal.SIGHUP)
            await kubelet.until_counts(R, 3, 0)
            os.symlink(NULL, node)
            process.send_signal(signal.SIGHUP)
            await kubelet.until_counts(R, 3, 3)

    asyncio.run(run())


def test_what_is_cordoned_stays_so(place: Path) -> None:
    """Over a change of the configuration, and over a restart after a kill; nobody gets it meanwhile."""

    async def run() -> None:
        async with serving(place) as (kubelet, process):
            told = await asked(place, "cordon", "null#1")
            assert told["items"] == [{"resource": R, "id": "null#1"}]
            await kubelet.until_counts(R, 3, 2)
            configure(place, more=MORE)
            process.send_signal(signal.SIGHUP)
            await kubelet.until_counts("foo.com/zero", 1, 1)
            assert kubelet.books.counts(R) == (3, 2)
            await finish(process, signal.SIGKILL)
            await kubelet.until_counts(R, 3, 0)
            again = await begin(place)
            await started(kubelet, 2)
            (resource,) = [one for one in (await asked(place, "status"))["resources"] if one["name"] == R]
            assert {item["id"]: item["reason"] for item in resource["items"]} == {
                "null#0": None,
                "null#1": "cordoned",
                "null#2": None,
            }
            (answer, _) = (await asked(place, "explain", "null#1"))["answers"]
            assert (answer["verdict"], answer["why"][0].partition(":")[0]) == ("unhealthy", "cordoned")
            await asked(place, "uncordon", "null#1")
            await kubelet.until_counts(R, 3, 3)
            code, _, said = await finish(again, signal.SIGTERM)
            assert code == 0, said
            assert not (place / "plugin.sock").exists()

    asyncio.run(run())


@pytest.mark.parametrize("text", ["[plugin", "[plugin]\nkubelet_dir = 7\n"])
def test_a_wrong_configuration_ends_the_start(place: Path, text: str) -> None:
    """Exit 2, before anything is served."""
    (place / "plugin.toml").write_text(text)

    async def run() -> None:
        process = await begin(place)
        _, said = await asyncio.wait_for(process.communicate(), 10)
        assert process.returncode == 2
        assert "plugin.toml" in said.decode()

    asyncio.run(run())
