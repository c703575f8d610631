"""Print what `vfioctl serve-plugin` carries beside its targets: ``make bench-plugin``.

The program runs as it is, in a process of its own, for a host that is a folder: only the kernel's reports
are made by hand. Callers and listeners are other processes that write HTTP/2 themselves (`wire`), so that the
times are those of the program, from wire to wire. What the library itself takes (`limit`) is measured by
turns with it, and printed beside.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from contextlib import asynccontextmanager
from statistics import quantiles
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.bench.plugin.process import cpu_seconds, family, footprint
from tests.bench.plugin.stage import Size, python, stage, told
from tests.bench.plugin.vfio_trees import address_of
from vfioctl.plugin import claims
from vfioctl.plugin.api import deviceplugin_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.bench.plugin.stage import Stage

SIZES = (Size(256, 1024), Size(16, 4096))
CALLERS = 32
PACE = 10.0
"""Calls of each of them in a second: a kubelet admits one pod after the other, and makes far fewer."""
TARGETS = 2.0, 10.0
"""Milliseconds: half of all calls, and all but one of a hundred."""
PARTS = ("allocate", "changes", "idle", "restarts")
TURN = 2.0
"""Seconds of calls of the program, and as many of the library alone, by turns: a machine may be slow for a
while."""
NOTHING = "0a00"
"""A request of nothing, in hexadecimal digits."""
CALM = claims.GRACE + 2 * claims.POLL
"""Seconds after which what was allocated for no pod is released: until then there is something to do."""
WARM_UP = 20
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
        return f"  {self.title:<76}{self.figure:>9.2f} {self.unit:<4}  {beside:<12}{verdict}"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.plugin", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of calls for each row of Allocate")
    parser.add_argument("--changes", type=int, default=150, help="devices that go and come back")
    parser.add_argument("--idle", type=float, help="seconds of doing nothing; from look to look")
    parser.add_argument("--restarts", type=int, default=500, help="of the kubelet")
    parser.add_argument("--only", type=int, choices=range(len(SIZES)), help="one of the two hosts")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure; all")
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
    parts = {
        "allocate": lambda: _allocations(scene, options.seconds),
        "changes": lambda: _changes(scene, options.changes),
        "idle": lambda: _idle(scene, options.idle),
        "restarts": lambda: _restarts(scene, options.restarts),
    }
    for name in options.parts:
        async for row in parts[name]():
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
    async with _library() as alone:
        for title, ways, rate in _loads(len(paths)):
            more = {"each": CALLERS // len(ways) if rate != 0 else 1, "rate": rate or None}
            ours = {
                "paths": [paths[way] for way in ways],
                "requests": [requests[way] for way in ways],
                **more,
            }
            nothing = {"paths": [alone] * len(ways), "requests": [[NOTHING]] * len(ways), **more}
            await scene.handled()
            times, of_library, spent = [], [], 0.0
            for _ in range(max(1, round(seconds / TURN))):
                before = cpu_seconds(scene.plugin.pid)
                times += await _calls(title, ours | {"seconds": min(TURN, seconds)})
                spent += cpu_seconds(scene.plugin.pid) - before
                of_library += await _calls(title, nothing | {"seconds": min(TURN, seconds)})
            targets = TARGETS if rate != 0 else (None, None)
            for row in _rows_of(f"Allocate, {title}", times, targets):
                yield row
            for row in _rows_of("    of it in the program's own code", await scene.handled(), targets):
                yield row
            for row in _rows_of("    an empty method of the library, by turns with it", of_library):
                yield row
            yield Row("    processor time of a call", spent / len(times) * 1e6, "us")


@asynccontextmanager
async def _library() -> AsyncIterator[str]:
    """Serve a method that does nothing, in a process of its own, at this path."""
    with tempfile.TemporaryDirectory(prefix="vb-") as folder:
        process = await python("limit", f"{folder}/s", stdin=asyncio.subprocess.DEVNULL)
        try:
            assert process.stdout is not None
            await process.stdout.readline()
            yield f"{folder}/s"
        finally:
            process.kill()
            await process.wait()


def _loads(paths: int) -> list[tuple[str, list[int], float | None]]:
    """Return loads by name: which sockets are called, and how often by each caller; 0: by a single one."""
    several = [number * paths // CALLERS for number in range(CALLERS)]
    paced = f"{CALLERS} callers, each {PACE:g} times a second"
    return [
        ("1 caller, at once again", [0], 0.0),
        (f"{paced}, {CALLERS} connections", several, PACE),
        (f"{paced}, 1 connection", [0], PACE),
        (f"{CALLERS} callers, at once again, {CALLERS} connections", several, None),
        (f"{CALLERS} callers, at once again, 1 connection", [0], None),
    ]


def _requests(size: Size, resource: int) -> list[str]:
    """Return a request for each device of a resource."""
    first, last = (number * size.devices // size.resources for number in (resource, resource + 1))
    ones = [pb.ContainerAllocateRequest(devices_ids=[address_of(number)]) for number in range(first, last)]
    return [pb.AllocateRequest(container_requests=[one]).SerializeToString().hex() for one in ones]


async def _calls(title: str, order: dict[str, Any]) -> list[float]:
    found = await told("callers", order)
    if found["refused"]:
        raise RuntimeError(f"{title}: {found['refused']} calls were refused")
    return [float(one) for one in found["times"]]


def _rows_of(
    title: str, times: Sequence[float], targets: tuple[float | None, float | None] = (None, None)
) -> list[Row]:
    p50, p99 = _percentiles(times)
    return [Row(f"{title}: p50", p50, "ms", targets[0]), Row(f"{title}: p99", p99, "ms", targets[1])]


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    cuts = quantiles(seconds, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


async def _changes(scene: Stage, changes: int) -> AsyncIterator[Row]:
    for title, kind, busy, target in (
        ("a device is taken out and put in again, to the list", "plug", False, 100),
        ("the same, while a look at the whole host is under way", "plug", True, None),
        ("a device leaves vfio-pci (seen twice) and returns", "bind", False, None),
    ):
        order = {
            "tree": str(scene.tree),
            "paths": scene.paths(),
            "devices": scene.size.devices,
            "changes": changes if target is not None else changes // 5,
            "doorbell": scene.doorbell,
            "kind": kind,
            "busy": busy,
        }
        p50, p99 = _percentiles(await told("changes", order, pass_fds=[scene.doorbell]))
        yield Row(f"{title}: p50", p50, "ms")
        yield Row(f"{title}: p99", p99, "ms", target)


async def _idle(scene: Stage, seconds: float | None) -> AsyncIterator[Row]:
    await asyncio.sleep(CALM)
    # A look at everything is most of what idleness costs: there is one in a time of this length, as a rule.
    period = await scene.period()
    seconds = seconds or period
    yield Row("from one look at everything to the next", period, "s")
    # The kubelet's side of the streams stays quiet as well.
    before = cpu_seconds(scene.plugin.pid)
    await asyncio.sleep(seconds)
    used = (cpu_seconds(scene.plugin.pid) - before) / seconds * 100
    # A shorter time may have had no look at everything in it, and says nothing of what the program keeps to.
    yield Row("idle CPU, with its reader", used, "%", 0.3 if seconds >= period else None)
    pid, *others = family(scene.plugin.pid)
    yield Row("idle RSS of the program", footprint(pid).rss_mib, "MiB")
    yield Row("idle RSS of its reader", sum(footprint(other).rss_mib for other in others), "MiB")


async def _restarts(scene: Stage, restarts: int) -> AsyncIterator[Row]:
    pid = scene.plugin.pid
    rss = await _least_rss(scene, min(WARM_UP, restarts))
    before, tasks = footprint(pid), await scene.tasks()
    sockets, began = len(_sockets(scene)), time.perf_counter()
    last = await _least_rss(scene, restarts)
    after = footprint(pid)
    yield Row("one restart of the kubelet", (time.perf_counter() - began) / max(restarts, 1), "s")
    title = f"after {restarts} restarts of the kubelet:"
    yield Row(f"{title} RSS", (last / rss - 1) * 100 if rss else 0.0, "%", 5)
    yield Row(f"{title} descriptors more", after.descriptors - before.descriptors, "", 0)
    yield Row(f"{title} threads more", after.threads - before.threads, "", 0)
    yield Row(f"{title} tasks more", await scene.tasks() - tasks, "", 0)
    yield Row(f"{title} sockets more", len(_sockets(scene)) - sockets, "", 0)


async def _least_rss(scene: Stage, restarts: int) -> float:
    """Restart the kubelet so often, and return the least memory after one of the last of them.

    What two hundred servers that end and begin at one time take is given back in steps of its own.
    """
    found = []
    for _ in range(restarts):
        await _restart(scene)
        found.append(footprint(scene.plugin.pid).rss_mib)
    return min(found[-WARM_UP:], default=0.0)


async def _restart(scene: Stage) -> None:
    await scene.kubelet.restart()
    await scene.registered()


def _sockets(scene: Stage) -> list[str]:
    return [name for name in os.listdir(scene.kubelet.plugins) if name.startswith("vfioctl-")]


if __name__ == "__main__":
    main()
