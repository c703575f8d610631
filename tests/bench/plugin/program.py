"""The program that is measured: all of serve-plugin, for a host that is a folder.

The kernel's reports come from stdin instead of netlink, a line each: action, subsystem, name and, if
there is one, the function above. The word ``tasks`` asks how many there are, ``handled`` how long each
Allocate took since that was asked last, from the request to the answer that is handed to gRPC, ``period``
how many seconds there are from the last look at everything to the next.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.bench.plugin.eyes import FolderEyes
from vfioctl.plugin.config import load
from vfioctl.plugin.looking import Looking
from vfioctl.plugin.service import Service
from vfioctl.plugin.serving import serve
from vfioctl.udev.changes import Change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


handled: list[float] = []
"""Seconds that each Allocate took in the program's own code."""


def time_answers() -> None:
    """Have the time taken of every Allocate."""
    answer = Service.Allocate

    async def timed(self: Service, request: Any, context: Any) -> Any:  # noqa: ANN401 - as the method's
        began = time.perf_counter()
        try:
            return await answer(self, request, context)
        finally:
            handled.append(time.perf_counter() - began)

    Service.Allocate = timed  # type: ignore[method-assign] # the program itself needs no such clock


looking: list[Looking] = []
"""What looks at the host, once it is at work."""


def keep_looking() -> None:
    """Have it kept what looks at the host, which `serve` has for itself."""
    work = Looking.work

    def kept(self: Looking) -> list[Coroutine[None, None, None]]:
        looking.append(self)
        return work(self)

    Looking.work = kept  # type: ignore[method-assign] # the program itself asks nobody


async def reports() -> AsyncIterator[Change]:
    """Yield what stdin says."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        if line == ["tasks"]:
            print(len(asyncio.all_tasks()), flush=True)
        elif line == ["handled"]:
            print(json.dumps(handled), flush=True)
            handled.clear()
        elif line == ["period"]:
            print(looking[-1].period, flush=True)
        else:
            action, subsystem, name, *above = line
            yield Change(action, subsystem, name, f"/devices/{'/'.join(above)}/{name}")


def main(root: str, config: str, lock: str) -> None:
    """Serve until told to end."""
    logging.basicConfig(level=logging.INFO)
    time_answers()
    keep_looking()
    serve(FolderEyes(root), partial(load, config), reports, lock=lock)


if __name__ == "__main__":
    main(*sys.argv[1:])
