"""What is served to probes and scrapers, and where."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from vfioctl.plugin.backoff import Backoff
from vfioctl.plugin.http import HttpServer, Page
from vfioctl.plugin.standing import standing
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.plugin.counts import Counts
    from vfioctl.plugin.http import Pages
    from vfioctl.plugin.standing import Standing
    from vfioctl.plugin.supervisor import Supervisor

log = logging.getLogger("vfioctl.plugin")

_FIRST, _LAST = 1.0, 60.0
"""Seconds between attempts to take a port: the plugin before this one may have it still."""


def pages(plugin: Supervisor) -> Pages:
    """Return everything that is served about a plugin, by path."""
    one_at_a_time = asyncio.Lock()

    async def metrics(accepted: str) -> Page:
        """Return what Prometheus scrapes, in the form that it accepts."""
        # Loaded when first asked for, and away from the loop, as thousands of lines take milliseconds.
        async with one_at_a_time:
            made = await asyncio.to_thread(_exposed, standing(plugin), plugin.counts.copy(), accepted)
        return Page(200, *made)

    async def alive(_accepted: str) -> Page:
        """Tell whether looks still end."""
        return _probe(standing(plugin).dead)

    async def healthy(_accepted: str) -> Page:
        """Tell whether the host was seen of late."""
        return _probe(standing(plugin).stale)

    async def ready(_accepted: str) -> Page:
        """Tell whether every resource has a kubelet that listens."""
        return _probe(standing(plugin).unready)

    return {"/metrics": metrics, "/livez": alive, "/healthz": healthy, "/readyz": ready}


def _exposed(stood: Standing, counts: Counts, accepted: str) -> tuple[bytes, str]:
    from vfioctl.plugin.metrics import exposition

    return exposition(stood, counts, accepted)


def _probe(trouble: str | None) -> Page:
    return Page(200, b"ok\n") if trouble is None else Page(503, f"{trouble}\n".encode())


async def keep_listening(plugin: Supervisor) -> None:
    """Serve where the configuration in force says, for ever; a port that is taken is tried again."""
    while True:
        listen = plugin.rules.listen
        server = HttpServer(pages(plugin))
        try:
            if listen and not await _started(server, listen, plugin):
                continue
            await plugin.changed.until(lambda: plugin.rules.listen != listen)  # noqa: B023
        finally:
            await server.stop()


async def _started(server: HttpServer, listen: str, plugin: Supervisor) -> bool:
    """Start, sooner or later; False where meanwhile another address is wanted."""
    backoff, told = Backoff(_FIRST, _LAST), ""
    while True:
        try:
            await server.start(*address(listen))
        except OSError as error:
            why = error.strerror or str(error)
            if why != told:
                log.error("metrics and health are not served at %s: %s; this is tried again", listen, why)  # noqa: TRY400 - its words are enough
                told = why
        else:
            log.info("metrics and health are served at %s", listen)
            return True
        with suppress(TimeoutError):
            moved = plugin.changed.until(lambda: plugin.rules.listen != listen)
            await asyncio.wait_for(moved, backoff.next())
            return False


def address(listen: str) -> tuple[str | None, int]:
    """Return host and port of an address to listen at; None for every address of this machine."""
    host, _, port = listen.rpartition(":")
    return (None if host == "*" else host.strip("[]")), int(port)
