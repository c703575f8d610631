"""The program in a process of its own, and a kubelet beside it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.bench.plugin.vfio_trees import configuration, make_vfio_tree, name_of
from tests.plugin.kubelet.kubelet import Kubelet, Settings

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[3]
PATIENCE = 120.0
_LONGEST = 1 << 26
"""Bytes of a line that the program answers with."""
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


class Size(NamedTuple):
    """How large a host is."""

    resources: int
    devices: int


class BenchKubelet(Kubelet):
    """A kubelet that writes no checkpoint: its own time must not count."""

    def note(self, *event: Any) -> None:  # noqa: ANN401 - as its parent's
        """Remember nothing."""


class Stage(NamedTuple):
    """All that runs."""

    size: Size
    tree: Path
    plugin: Process
    doorbell: int
    kubelet: Kubelet

    async def registered(self) -> float:
        """Wait until every resource is listed, and return the moment."""
        # Of different numbers where the devices are not a multiple of the resources.
        expected = self.size.devices
        names = [name_of(number) for number in range(self.size.resources)]
        await self.kubelet.until(
            lambda: sum(self.kubelet.books.counts(name)[1] for name in names) == expected, within=PATIENCE
        )
        return time.perf_counter()

    def paths(self) -> list[str]:
        """Return the socket of each resource."""
        clients = self.kubelet.registry.clients
        return [clients[name_of(number)].path for number in range(self.size.resources)]

    async def tasks(self) -> int:
        """Ask the program how many tasks it has."""
        return int(await self._asked("tasks"))

    async def handled(self) -> list[float]:
        """Ask the program how long each Allocate took since this was asked last, in seconds."""
        return [float(one) for one in json.loads(await self._asked("handled"))]

    async def period(self) -> float:
        """Ask the program how many seconds there are between its last look at everything and the next."""
        return float(await self._asked("period"))

    async def _asked(self, word: str) -> bytes:
        os.write(self.doorbell, f"{word}\n".encode())
        assert self.plugin.stdout is not None
        return await asyncio.wait_for(self.plugin.stdout.readline(), PATIENCE)


@asynccontextmanager
async def stage(size: Size) -> AsyncIterator[Stage]:
    """Run the program for a host of this size, until it has looked; the kubelet is not started."""
    # In memory, as sysfs is, and /run, where the program keeps what is allocated.
    with tempfile.TemporaryDirectory(prefix="vb-", dir=MEMORY) as folder:
        place = Path(folder)
        tree = make_vfio_tree(place / "host", size.resources, size.devices)
        kubelet = BenchKubelet(str(place), Settings(dial=10.0))
        os.makedirs(kubelet.plugins)
        (place / "plugin.toml").write_text(configuration(str(place), size.resources))
        theirs, doorbell = os.pipe()
        # A file: whoever read a pipe would take part of the processors from the program.
        with (place / "log").open("wb") as log:
            arguments = [str(tree), str(place / "plugin.toml"), str(place / "lock")]
            # As the service's unit has it.
            environment = {**os.environ, "MALLOC_ARENA_MAX": "2"}
            plugin = await python("program", *arguments, stdin=theirs, stderr=log, env=environment)
        os.close(theirs)
        try:
            await _looked(place / "log", size.resources)
            yield Stage(size, tree, plugin, doorbell, kubelet)
        finally:
            await kubelet.stop()
            os.close(doorbell)
            with suppress(ProcessLookupError):
                plugin.terminate()
            await plugin.wait()


async def _looked(log: Path, resources: int) -> None:
    """Wait until the program has said of each resource what it found."""
    end = time.monotonic() + PATIENCE
    while _said(log) < resources:
        if time.monotonic() > end:
            raise TimeoutError("the program found nothing")
        await asyncio.sleep(0.05)


def _said(log: Path) -> int:
    return log.read_text().count(" unhealthy")


async def python(name: str, *arguments: str, stdin: int, **more: Any) -> Process:  # noqa: ANN401 - as for a process
    """Start a program of this package."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.bench.plugin.{name}", *arguments),
        cwd=ROOT,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST,
        **more,
    )


async def told(name: str, order: dict[str, Any], **more: Any) -> Any:  # noqa: ANN401 - JSON
    """Run a program of this package that is told on stdin what to do, and return what it found."""
    process = await python(name, stdin=asyncio.subprocess.PIPE, **more)
    answer, _ = await process.communicate(json.dumps(order).encode())
    if process.returncode != 0:
        raise RuntimeError(f"{name} ended with {process.returncode}")
    return json.loads(answer)
