"""The program that is measured: all of serve-plugin, for a host that is a folder.

The kernel's reports come from stdin instead of netlink, a line each: action, subsystem, name and, if
there is one, the function above. The word ``tasks`` asks how many there are.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from functools import partial
from typing import TYPE_CHECKING

from tests.bench.plugin.eyes import FolderEyes
from vfioctl.plugin.config import load
from vfioctl.plugin.serving import serve
from vfioctl.udev.changes import Change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def reports() -> AsyncIterator[Change]:
    """Yield what stdin says."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        if line == ["tasks"]:
            print(len(asyncio.all_tasks()), flush=True)
        else:
            action, subsystem, name, *above = line
            yield Change(action, subsystem, name, f"/devices/{'/'.join(above)}/{name}")


def main(root: str, config: str, lock: str) -> None:
    """Serve until told to end."""
    logging.basicConfig(level=logging.INFO)
    serve(FolderEyes(root), partial(load, config), reports, lock=lock)


if __name__ == "__main__":
    main(*sys.argv[1:])
