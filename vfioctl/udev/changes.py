"""What the kernel reports about devices, as an async iterator: a doorbell, never a source of facts.

It listens to the kernel's own reports, not to udevd's, which only the host's network namespace hears: in a
container the kernel's come too (Linux 4.18 and later, unless it has a user namespace of its own).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import suppress

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    import pyudev  # type: ignore[import-untyped] # it has no types

SUBSYSTEMS = ("pci", "vfio", "vfio-dev", "mdev")
"""Where what vfioctl cares for is reported."""

RESYNC = "resync"
"""The action of a change that stands for all that were lost."""

_BUFFER_BYTES = 8 << 20
"""A thousand virtual functions come within milliseconds, and each is several reports of half a kilobyte."""


class Change(NamedTuple):
    """One report."""

    action: str
    """``add``, ``remove``, ``bind``, ``unbind``, ``change``, ``move``, or `RESYNC`."""
    subsystem: str = ""
    name: str = ""
    """What the kernel calls it, as in ``0000:01:00.0``."""
    place: str = ""
    """Where it is in the device tree, below ``/sys``."""


async def changes(subsystems: Sequence[str] = SUBSYSTEMS) -> AsyncGenerator[Change, None]:
    """Yield what the kernel reports from now on, for ever.

    Nothing is kept here: what is not fetched waits in the socket, whose size the kernel bounds. When that was
    too small, one `RESYNC` says that reports were lost.

    Raises:
        OSError: the kernel's reports cannot be had here.
        ImportError: libudev is not there.

    """
    monitor = _monitor(subsystems)
    # The same socket: its error is how the kernel says that it dropped something.
    ear = socket.socket(fileno=os.dup(monitor.fileno()))
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    # The first call starts it; before that nothing would be received.
    loop.add_reader(monitor.fileno(), ready.set)
    try:
        while True:
            change = _receive(monitor, ear)
            if change is None:
                ready.clear()
                await ready.wait()
            else:
                yield change
    finally:
        loop.remove_reader(monitor.fileno())
        ear.close()


def _monitor(subsystems: Sequence[str]) -> pyudev.Monitor:
    import pyudev

    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
    for subsystem in subsystems:
        monitor.filter_by(subsystem)
    # Only root may have more than the system's usual.
    with suppress(OSError):
        monitor.set_receive_buffer_size(_BUFFER_BYTES)
    monitor.start()
    return monitor


def _receive(monitor: pyudev.Monitor, ear: socket.socket) -> Change | None:
    """Return the next report, or None when there is none now."""
    # Asking for the error also clears it; pyudev says only that there was one.
    error = ear.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error == errno.ENOBUFS:
        return Change(RESYNC)
    if error:
        raise OSError(error, os.strerror(error))
    try:
        device = monitor.poll(0)
    except OSError as problem:
        if problem.errno in {None, errno.ENOBUFS}:
            return Change(RESYNC)
        raise
    if device is None:
        return None
    return Change(device.action or "", device.subsystem or "", device.sys_name, device.device_path)
