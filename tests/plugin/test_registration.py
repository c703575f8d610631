"""Kubelets come and go; every resource is registered again, once, with a new socket."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

from tests.plugin.kubelet.kubelet import Settings
from tests.plugin.kubelet.pods import pod
from tests.plugin.scene import GPU, NIC, QUICK, Table, offer, scene, sockets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BOTH = (offer(GPU, "a", "b"), offer(NIC, "x"))


def open_files() -> int:
    """Count this process's descriptors."""
    return len(os.listdir("/proc/self/fd"))


async def most(count: Callable[[], int]) -> int:
    """Return the most of twenty counts: in a single moment, a task that waits may be between two waits."""
    counts = []
    for _ in range(20):
        counts.append(count())
        await asyncio.sleep(0.002)
    return max(counts)


@pytest.mark.parametrize("by_path", [False, True])
@pytest.mark.parametrize("list_first", [False, True])
def test_a_resource_is_registered_listed_and_allocated(place: Path, by_path: bool, list_first: bool) -> None:
    """The whole way, with every kind of kubelet."""

    async def run() -> None:
        settings = Settings(by_path=by_path, list_first=list_first)
        async with scene(place, *BOTH, settings=settings) as (kubelet, plugin, _):
            await kubelet.until(lambda: plugin.ready)
            await kubelet.until_counts(GPU, 2, 2)
            await kubelet.until_counts(NIC, 1, 1)
            done = await kubelet.run(pod("p", {GPU: 1, NIC: 1}))
            assert done.phase == "Running", done.message
            grant = await kubelet.start_container(done, done.containers[0])
            assert grant is not None
            # Two are free and one is wanted: the preference decided.
            assert dict(grant[GPU].envs) == {"IDS": "b"}
            assert [(node.host_path, node.permissions) for node in grant[NIC].devices] == [
                ("/dev/vfio/x", "rw")
            ]
            registered = kubelet.happened("register")
            assert len(registered) == 2
        # No list was emptied, and no socket stays.
        assert [len(event[2]) for event in kubelet.happened("listed", GPU)] == [2]
        assert sockets(kubelet.plugins) == []
        assert kubelet.books.counts(GPU) == (2, 0)

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("watcher", [False, True])
def test_fifty_restarts_leave_nothing_behind(place: Path, watcher: bool) -> None:
    """No descriptor, task, socket or thread more than after the first; never two live registrations."""

    async def run() -> None:
        rules = Table(str(place), watcher=watcher)
        settings = Settings(watch_every=0.002, dial=0.2)
        # Streams that live for milliseconds are no failure here.
        times = QUICK._replace(pace=QUICK.pace._replace(steady=0.0))
        async with scene(place, *BOTH, rules=rules, settings=settings, times=times) as (kubelet, plugin, _):

            async def restart() -> None:
                await kubelet.restart()
                await kubelet.until(
                    lambda: (kubelet.books.counts(GPU), kubelet.books.counts(NIC)) == ((2, 2), (1, 1))
                )
                await kubelet.until(lambda: plugin.ready)

            await kubelet.until(lambda: plugin.ready)
            await restart()
            gc.collect()
            files, tasks = await most(open_files), await most(lambda: len(asyncio.all_tasks()))
            for _ in range(50):
                await restart()
            gc.collect()
            # What is under way at this very moment ends.
            await kubelet.until(lambda: open_files() <= files)
            await kubelet.until(lambda: len(asyncio.all_tasks()) <= tasks)
            assert len(sockets(plugin._roster.watch.folder)) == 2
            used = [event[2] for event in kubelet.happened("connected", GPU)]
            assert len(used) == len(set(used)) == 52

    asyncio.run(run())


def test_a_kubelet_that_comes_late_is_waited_for(place: Path) -> None:
    """A missing folder, and then a missing kubelet.sock, are no errors."""

    async def run() -> None:
        async with scene(place / "kubelet", *BOTH, kubelet_runs=False) as (kubelet, plugin, _):
            await kubelet.until(lambda: len(plugin.kept) == 2)
            assert not plugin.ready
            assert {state.phase for state in plugin.states().values()} == {"waiting"}
            os.makedirs(kubelet.plugins)
            await asyncio.sleep(0.02)
            assert sockets(kubelet.plugins) == []
            await kubelet.start()
            await kubelet.until(lambda: plugin.ready)

    asyncio.run(run())


def test_the_directory_is_replaced(place: Path) -> None:
    """A watch on the old directory would be deaf from then on."""

    async def run() -> None:
        async with scene(place, *BOTH) as (kubelet, plugin, _):
            await kubelet.until(lambda: plugin.ready)
            await kubelet.stop()
            os.rename(kubelet.plugins, f"{kubelet.plugins}.old")
            await kubelet.start()
            await kubelet.until(lambda: kubelet.books.counts(GPU) == (2, 2))
            await kubelet.until(lambda: plugin.ready)
            assert len(sockets(kubelet.plugins)) == 2
            # With its kubelet alive, which keeps its stream open.
            shutil.rmtree(kubelet.plugins)
            await kubelet.until(lambda: not plugin.ready)
            await kubelet.restart()
            await kubelet.until(lambda: plugin.ready)

    asyncio.run(run())


@pytest.mark.parametrize("watcher", [False, True])
@pytest.mark.parametrize("by_path", [False, True])
def test_a_socket_that_is_deleted_is_made_again(place: Path, watcher: bool, by_path: bool) -> None:
    """The stream would live on, and the next kubelet find nobody; only this resource registers again."""

    async def run() -> None:
        rules = Table(str(place), watcher=watcher)
        settings = Settings(by_path=by_path, watch_every=0.005)
        async with scene(place, *BOTH, rules=rules, settings=settings) as (kubelet, plugin, _):
            await kubelet.until(lambda: plugin.ready)
            folder = plugin._roster.watch.folder
            # A long folder leaves few letters for the name of the resource.
            (mine,) = [name for name in sockets(folder) if name.startswith("vfioctl-foo-com-g")]
            os.unlink(f"{folder}/{mine}")
            await kubelet.until(lambda: plugin.states()[GPU].streams == 2)
            await kubelet.until(lambda: plugin.ready)
            await kubelet.until_counts(GPU, 2, 2)
            assert mine not in sockets(folder)
            assert plugin.states()[NIC].streams == 1

    asyncio.run(run())


def test_the_end_of_the_stream_alone_is_reason_to_register_again(place: Path) -> None:
    """Up to 1.36.3 it is the only sign that an older registration took this one down."""

    async def run() -> None:
        async with scene(place, *BOTH) as (kubelet, plugin, _):
            for streams in (2, 3, 4):
                await kubelet.until(lambda: plugin.ready)
                await kubelet.until(lambda: GPU in kubelet.registry.clients)
                await kubelet.registry.clients[GPU].close()
                await kubelet.until(lambda: plugin.states()[GPU].streams == streams)  # noqa: B023 - awaited
            await kubelet.until_counts(GPU, 2, 2)
            assert plugin.states()[NIC].streams == 1

    asyncio.run(run())


def test_the_watcher_finds_a_new_socket_when_only_the_stream_ends(place: Path) -> None:
    """It would never come back to the old one."""

    async def run() -> None:
        rules = Table(str(place), watcher=True)
        async with scene(place, *BOTH, rules=rules, settings=Settings(watch_every=0.005)) as (
            kubelet,
            plugin,
            _,
        ):
            await kubelet.until(lambda: plugin.ready)
            await kubelet.registry.clients[GPU].close()
            await kubelet.until(lambda: plugin.states()[GPU].streams == 2)
            await kubelet.until_counts(GPU, 2, 2)
            assert len(sockets(kubelet.registry_folder)) == 2

    asyncio.run(run())


def test_a_refused_resource_leaves_the_others_alone(place: Path) -> None:
    """It tries again, ever more slowly, and says why; kubelets refuse such a name."""

    async def run() -> None:
        bad = "foo.com/bad_"
        async with scene(place, offer(bad, "a"), *BOTH) as (kubelet, plugin, _):
            await kubelet.until(lambda: [state.phase for state in plugin.states().values()].count("up") == 2)
            await kubelet.until(lambda: len(kubelet.happened("register", bad)) >= 4)
            assert plugin.states()[bad].error == f'the ResourceName "{bad}" is invalid (UNKNOWN)'
            assert not plugin.ready
            assert plugin.states()[GPU].streams == plugin.states()[NIC].streams == 1
            # Nothing that failed is left.
            await kubelet.until(lambda: len(sockets(kubelet.plugins)) == 2)

    asyncio.run(run())


def test_a_kubelet_that_cannot_dial_back_is_given_up_in_time(place: Path) -> None:
    """A hung Register ends at its deadline, and at once when there is another kubelet."""

    async def run() -> None:
        times = QUICK._replace(pace=QUICK.pace._replace(deadline=30.0))
        async with scene(place, offer(GPU, "a"), times=times, kubelet_runs=False) as (kubelet, plugin, _):
            os.makedirs(kubelet.plugins)
            with socket.socket(socket.AF_UNIX) as deaf:
                deaf.bind(kubelet.socket)
                deaf.listen()
                await kubelet.until(lambda: plugin.kept and plugin.states()[GPU].phase == "registering")
            await kubelet.start()
            await kubelet.until(lambda: plugin.ready, within=2.0)

    asyncio.run(run())


def test_a_left_behind_socket_of_a_kubelet_gets_no_server(place: Path) -> None:
    """kubelet.sock stays when a kubelet stops: that it is there says nothing."""

    async def run() -> None:
        async with scene(place, offer(GPU, "a")) as (kubelet, plugin, _):
            await kubelet.until(lambda: plugin.ready)
            await kubelet.stop()
            await kubelet.until(lambda: plugin.states()[GPU].error == "nobody answers on kubelet.sock")
            assert sockets(kubelet.plugins) == []
            await kubelet.start()
            await kubelet.until(lambda: plugin.ready)

    asyncio.run(run())
