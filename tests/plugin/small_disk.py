"""A plugin and a kubelet on a disk that is full: run in a mount namespace of its own, on a small tmpfs.

``python -m tests.plugin.small_disk FOLDER`` prints the error that is shown while the disk is full, and
``ready``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

from tests.plugin.scene import GPU, offer, scene


async def main(folder: str) -> None:
    """Fill the disk, serve, make room."""
    async with scene(folder, offer(GPU, "a"), kubelet_runs=False) as stage:
        await stage.kubelet.start()
        fillers = 0
        with suppress(OSError):
            while True:
                os.close(os.open(f"{folder}/filler{fillers}", os.O_CREAT | os.O_WRONLY))
                fillers += 1
        await stage.kubelet.until(lambda: stage.plugin.kept and stage.plugin.states()[GPU].error)
        print(stage.plugin.states()[GPU].error, flush=True)
        for number in range(fillers):
            os.unlink(f"{folder}/filler{number}")
        await stage.kubelet.until(lambda: stage.plugin.ready)
        print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
