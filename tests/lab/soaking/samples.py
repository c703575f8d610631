"""What the plugin takes, read after each action of a long run."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.plugin import process
from tests.lab.soaking.node import METRICS
from tests.plugin.kubelet.places import plugins_of

if TYPE_CHECKING:
    from tests.lab.soaking.node import Node


class Sample(NamedTuple):
    """One moment, and the action that came before it."""

    second: float
    """Since the beginning."""
    action: str
    outcome: str
    took: float
    """Seconds of the action itself."""
    converged: float | None
    """Seconds until the node offered what followed from it; None: not waited for."""
    calm: bool
    """Whether all pods had ended and everything was offered."""
    life: int
    rss_mib: float
    family_mib: float
    """With the interpreters that it runs."""
    descriptors: int
    threads: int
    tasks: int | None
    """Of its loop; None where the page did not answer."""
    sockets: int
    """In the kubelet's folder."""


What = tuple[str, str, float, float | None]
"""The action, how it ended, its seconds, and those until the node offered what followed."""


async def take(node: Node, second: float, what: What, *, calm: bool) -> Sample:
    """Read what the plugin takes now."""
    own = process.footprint(node.pid)
    family = 0.0
    for pid in process.family(node.pid):
        with suppress(OSError, KeyError):
            family += process.footprint(pid).rss_mib
    sockets = sum(1 for name in _sockets(node))
    return Sample(
        round(second, 1), *what, calm, node.lives, own.rss_mib, family, own.descriptors, own.threads,
        await _tasks(), sockets,
    )  # fmt: skip


def _sockets(node: Node) -> list[str]:
    return [path.name for path in Path(plugins_of(node.folder)).glob("vfioctl-*")]


async def _tasks() -> int | None:
    try:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(*METRICS)
            writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
            page = await reader.read()
            writer.close()
            await writer.wait_closed()
    except OSError:
        return None
    found = re.search(rb"^vfioctl_plugin_tasks (\d+)", page, re.MULTILINE)
    return int(found[1]) if found else None
