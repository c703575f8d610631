"""What runs beside the supervisor: it fails alone, and ends with it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

log = logging.getLogger("vfioctl.plugin")


@asynccontextmanager
async def attended(**attendants: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run attendants meanwhile, each under a name for the log."""
    tasks = [asyncio.create_task(_alone(name, one), name=name) for name, one in attendants.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _alone(name: str, attendant: Coroutine[None, None, None]) -> None:
    try:
        await attendant
    except Exception:
        log.exception("%s ended; devices are served on", name.replace("_", " "))
