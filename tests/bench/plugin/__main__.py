"""Print what `vfioctl serve-plugin` carries beside its targets: ``make bench-plugin``.

The program runs as it is, in a process of its own, for a host that is a folder: only the kernel's reports
are made by hand. Callers and listeners are other processes that write HTTP/2 themselves (`wire`), so that the
times are those of the program, from wire to wire. What the library itself takes (`limit`) is printed beside.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from statistics import quantiles
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.plugin.process import cpu_seconds, family, footprint
from tests.bench.plugin.stage import Size, python, stage, told
from tests.bench.plugin.vfio_trees import address_of
from vfioctl.plugin.api import deviceplugin_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.bench.plugin.stage import Stage

SIZES = (Size(256, 1024), Size(16, 4096))
CALLERS = 32
WARM_UP = 10
"""Restarts before the first footprint: pools fill and caches settle."""


class Row(NamedTuple):
    """One figure beside its target."""

    title: str
    figure: float
    unit: str
    target: float | None = None

    def __str__(self) -> str:
        """Return it as a line of the table."""
        beside = "" if self.target is None else f"<= {self.target:g} {self.unit}"
        verdict = "" if self.target is None else ("met" if self.figure <= self.target else "MISSED")
        return f"  {self.title:<58}{self.figure:>9.2f} {self.unit:<4}  {beside:<12}{verdict}"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.plugin", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of calls for each row of Allocate")
    parser.add_argument("--changes", type=int, default=150, help="devices that go and come back")
    parser.add_argument("--idle", type=float, default=65.0, help="seconds of doing nothing")
    parser.add_argument("--restarts", type=int, default=500, help="of the kubelet")
    parser.add_argument("--only", type=int, choices=range(len(SIZES)), help="one of the two hosts")
    options = parser.parse_args()
    asyncio.run(_measure(options))


async def _measure(options: argparse.Namespace) -> None:
    for size in SIZES if options.only is None else [SIZES[options.only]]:
        load, processors = os.getloadavg()[0], os.cpu_count()
        print(f"{size.resources} resources, {size.devices} devices", end="", flush=True)
        print(f" (load {load:.1f} of others on {processors} processors)", flush=True)
        async with stage(size) as scene:
            async for row in _rows(scene, options):
                print(row, flush=True)


async def _rows(scene: Stage, options: argparse.Namespace) -> AsyncIterator[Row]:
    yield await _registration(scene)
    async for row in _allocations(scene, options.seconds):
        yield row
    async for row in _limit(options.seconds):
        yield row
    async for row in _changes(scene, options.changes):
        yield row
    yield await _idle(scene, options.idle)
    async for row in _restarts(scene, options.restarts):
        yield row
    pid, *others = family(scene.plugin.pid)
    yield Row("peak RSS of the program", footprint(pid).peak_mib, "MiB", 96)
    yield Row("peak RSS of its reader", sum(footprint(other).peak_mib for other in others), "MiB")


async def _registration(scene: Stage) -> Row:
    began = time.perf_counter()
    await scene.kubelet.start()
    return Row("all registered after the kubelet appears", await scene.registered() - began, "s", 2)


async def _allocations(scene: Stage, seconds: float) -> AsyncIterator[Row]:
    paths = scene.paths()
    requests = [_requests(scene.size, number) for number in range(len(paths))]
    several = [number * len(paths) // CALLERS for number in range(CALLERS)]
    for title, chosen, each, targets in (
        ("1 caller", [0], 1, (None, None)),
        (f"{CALLERS} callers, {CALLERS} connections", several, 1, (2, 10)),
        (f"{CALLERS} callers, 1 connection", [0], CALLERS, (2, 10)),
    ):
        called, asked = [paths[number] for number in chosen], [requests[number] for number in chosen]
        before = cpu_seconds(scene.plugin.pid)
        rows, calls = await _calls(f"Allocate, {title}", called, asked, each, seconds, targets)
        for row in rows:
            yield row
        spent = cpu_seconds(scene.plugin.pid) - before
        yield Row("    processor time of a call", spent / calls * 1e6, "us")


def _requests(size: Size, resource: int) -> list[str]:
    """Return a request for each device of a resource."""
    first, last = (number * size.devices // size.resources for number in (resource, resource + 1))
    ones = [pb.ContainerAllocateRequest(devices_ids=[address_of(number)]) for number in range(first, last)]
    return [pb.AllocateRequest(container_requests=[one]).SerializeToString().hex() for one in ones]


async def _calls(
    title: str,
    paths: Sequence[str],
    requests: Sequence[Sequence[str]],
    each: int,
    seconds: float,
    targets: tuple[float | None, float | None] = (None, None),
) -> tuple[list[Row], int]:
    order = {"paths": paths, "each": each, "requests": requests, "seconds": seconds}
    found = await told("callers", order)
    if found["refused"]:
        raise RuntimeError(f"{title}: {found['refused']} calls were refused")
    p50, p99 = _percentiles(found["times"])
    rows = [Row(f"{title}: p50", p50, "ms", targets[0]), Row(f"{title}: p99", p99, "ms", targets[1])]
    return rows, len(found["times"])


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    cuts = quantiles(seconds, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


async def _limit(seconds: float) -> AsyncIterator[Row]:
    """Call a method that does nothing."""
    with tempfile.TemporaryDirectory(prefix="vb-") as folder:
        path = f"{folder}/s"
        process = await python("limit", path, stdin=asyncio.subprocess.DEVNULL)
        try:
            assert process.stdout is not None
            await process.stdout.readline()
            for title, paths, each in (
                ("1 caller", [path], 1),
                (f"{CALLERS} callers, {CALLERS} connections", [path] * CALLERS, 1),
                (f"{CALLERS} callers, 1 connection", [path], CALLERS),
            ):
                requests = [["0a00"]] * len(paths)
                before = cpu_seconds(process.pid)
                rows, calls = await _calls(f"the library alone, {title}", paths, requests, each, seconds)
                for row in rows:
                    yield row
                spent = cpu_seconds(process.pid) - before
                yield Row("    processor time of a call", spent / calls * 1e6, "us")
        finally:
            process.kill()
            await process.wait()


async def _changes(scene: Stage, changes: int) -> AsyncIterator[Row]:
    for title, kind, target in (
        ("a device is taken out and put in again, to the list", "plug", 100),
        ("a device leaves vfio-pci (seen twice) and returns", "bind", None),
    ):
        order = {
            "tree": str(scene.tree),
            "paths": scene.paths(),
            "devices": scene.size.devices,
            "changes": changes if target is not None else changes // 5,
            "doorbell": scene.doorbell,
            "kind": kind,
        }
        p50, p99 = _percentiles(await told("changes", order, pass_fds=[scene.doorbell]))
        yield Row(f"{title}: p50", p50, "ms")
        yield Row(f"{title}: p99", p99, "ms", target)


async def _idle(scene: Stage, seconds: float) -> Row:
    # The kubelet's side of the streams stays quiet as well.
    before = cpu_seconds(scene.plugin.pid)
    await asyncio.sleep(seconds)
    return Row(
        "idle CPU, with its reader", (cpu_seconds(scene.plugin.pid) - before) / seconds * 100, "%", 0.3
    )


async def _restarts(scene: Stage, restarts: int) -> AsyncIterator[Row]:
    pid = scene.plugin.pid
    for _ in range(min(WARM_UP, restarts)):
        await _restart(scene)
    before, tasks = footprint(pid), await scene.tasks()
    sockets = len(_sockets(scene))
    for _ in range(restarts):
        await _restart(scene)
    after = footprint(pid)
    title = f"after {restarts} restarts of the kubelet:"
    yield Row(f"{title} RSS", (after.rss_mib / before.rss_mib - 1) * 100, "%", 5)
    yield Row(f"{title} descriptors more", after.descriptors - before.descriptors, "", 0)
    yield Row(f"{title} threads more", after.threads - before.threads, "", 0)
    yield Row(f"{title} tasks more", await scene.tasks() - tasks, "", 0)
    yield Row(f"{title} sockets more", len(_sockets(scene)) - sockets, "", 0)


async def _restart(scene: Stage) -> None:
    await scene.kubelet.restart()
    await scene.registered()


def _sockets(scene: Stage) -> list[str]:
    return [name for name in os.listdir(scene.kubelet.plugins) if name.startswith("vfioctl-")]


if __name__ == "__main__":
    main()
