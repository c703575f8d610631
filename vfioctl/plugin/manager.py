"""The service manager that started this program: lines in one datagram, as sd_notify(3) has it.

A few lines rather than a library: the one that is written in Python was last touched in 2017, the others are
compiled against libsystemd.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class ServiceManager:
    """Who started this program, if a service manager did."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take out of the environment what is for this process: those that it starts do not speak for it."""
        path = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        watched = environment.pop("WATCHDOG_PID", "") in {"", str(os.getpid())}
        # An abstract address begins with a zero byte, which an environment cannot hold.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self.watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() and watched else 0.0
        """Seconds within which a sign of life is awaited; 0: none is."""

    @property
    def listens(self) -> bool:
        """Whether there is one."""
        return self._address[:1] in {"/", "\0"}

    def say(self, *lines: str) -> None:
        """Say something; a manager that does not listen is no trouble of ours."""
        if self.listens and lines:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(0)
                # A line break in what is told would be another message to the manager.
                told = "\n".join(" ".join(line.splitlines()) for line in lines)
                channel.sendto(told.encode(errors="backslashreplace"), self._address)
