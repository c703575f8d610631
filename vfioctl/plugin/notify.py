"""What the service manager is told of the plugin: ready, how it goes, that it is alive."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from vfioctl.plugin.standing import standing
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.plugin.manager import ServiceManager
    from vfioctl.plugin.supervisor import Supervisor

LONGEST_STATUS = 400
"""Letters of the line that ``systemctl status`` shows."""

_SOON, _LATER = 0.1, 5.0
"""Seconds between two looks at the plugin: until it is ready, and afterwards."""


class Notifier:
    """Tells the service manager how the plugin does."""

    def __init__(self, manager: ServiceManager) -> None:
        """Tell this one."""
        self._manager = manager
        self._reloading = False
        self._reloads = 0
        self._woken = asyncio.Event()

    def reloading(self, plugin: Supervisor) -> None:
        """Say that the configuration is being read; the end of it is said by `keep_telling`."""
        self._reloading, self._reloads = True, plugin.reloads
        self._woken.set()
        self._manager.say(
            "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"
        )

    def stopping(self) -> None:
        """Say that this is the end."""
        self._manager.say("STOPPING=1", "STATUS=closing streams and removing sockets")

    async def keep_telling(self, plugin: Supervisor) -> None:
        """Tell how it goes, for ever.

        Ready is when everything was done once that can be done: registered, refused, or a kubelet waited for.
        A manager that waited for the kubelet itself would end and start the plugin again and again, which
        brings no kubelet, and would hold up what is ordered after it: the kubelet.
        """
        ready, told = False, ""
        while self._manager.listens:
            stood = standing(plugin)
            lines = []
            summary = stood.summary()[:LONGEST_STATUS]
            if summary != told:
                lines.append(f"STATUS={summary}")
                told = summary
            if self._reloading and plugin.reloads != self._reloads:
                self._reloading = False
                lines += ["READY=1"] if ready else []
            if not ready and stood.settled:
                ready = True
                lines.append("READY=1")
            if self._manager.watchdog and stood.dead is None:
                lines.append("WATCHDOG=1")
            self._manager.say(*lines)
            pause = _LATER if ready and not self._reloading else _SOON
            self._woken.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), min(pause, self._manager.watchdog / 3 or pause))
