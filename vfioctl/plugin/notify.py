"""Telling a service manager how it goes, as sd_notify(3) does: lines in one datagram.

A few lines rather than a library: the one that is written in Python was last touched in 2017, the others are
compiled against libsystemd.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress

from vfioctl.plugin.standing import standing
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from vfioctl.plugin.supervisor import Supervisor

LONGEST_STATUS = 400
"""Letters of the line that ``systemctl status`` shows."""

_SOON, _LATER = 0.1, 5.0
"""Seconds between two looks at the plugin: until it is ready, and afterwards."""


class Notifier:
    """Talks to the service manager that started this program, if one did."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take out of the environment what is for this process: those that it starts do not speak for it."""
        path = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        watched = environment.pop("WATCHDOG_PID", "") in {"", str(os.getpid())}
        # An abstract address begins with a zero byte, which an environment cannot hold.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self.watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() and watched else 0.0
        """Seconds within which a sign of life is awaited; 0: none is."""
        self._reloading = False
        self._reloads = 0
        self._woken = asyncio.Event()

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return self._address[:1] in {"/", "\0"}

    def say(self, *lines: str) -> None:
        """Say something; a manager that does not listen is no trouble of ours."""
        if self.wanted and lines:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(0)
                # A line break in what is told would be another message to the manager.
                told = "\n".join(" ".join(line.splitlines()) for line in lines)
                channel.sendto(told.encode(errors="backslashreplace"), self._address)

    def reloading(self, plugin: Supervisor) -> None:
        """Say that the configuration is being read; the end of it is said by `keep_telling`."""
        self._reloading, self._reloads = True, plugin.reloads
        self._woken.set()
        self.say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that this is the end."""
        self.say("STOPPING=1", "STATUS=closing streams and removing sockets")

    async def keep_telling(self, plugin: Supervisor) -> None:
        """Tell how it goes, for ever.

        Ready is when everything was done once that can be done: registered, refused, or a kubelet waited for.
        A manager that waited for the kubelet itself would end and start the plugin again and again, which
        brings no kubelet, and would hold up what is ordered after it: the kubelet.
        """
        ready, told = False, ""
        while self.wanted:
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
            if self.watchdog and stood.dead is None:
                lines.append("WATCHDOG=1")
            self.say(*lines)
            pause = _LATER if ready and not self._reloading else _SOON
            self._woken.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), min(pause, self.watchdog / 3 or pause))
