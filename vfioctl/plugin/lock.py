"""One serve-plugin at a time: a second one would take the sockets of the first."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager

from vfioctl.errors import LockedError, NotPermittedError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/run/vfioctl/serve-plugin.lock"
"""Not a state: it goes with the boot."""

_MOST = 32


@contextmanager
def only_one(path: str = PATH) -> Iterator[None]:
    """Hold the lock, which ends with this process however that ends.

    Raises:
        LockedError: another process holds it; names it.
        NotPermittedError: this user may not.

    """
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)  # noqa: PTH103, PTH120 - one call
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise NotPermittedError(
            f"cannot open {path}: {error.strerror}", hint="run it as root, as the kubelet's plugins are"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    except BlockingIOError as error:
        pid = os.pread(descriptor, _MOST, 0).decode(errors="replace")
        holder = f"pid {pid}" if pid.isdecimal() else "pid unknown"
        raise LockedError(
            f"serve-plugin runs already ({holder})",
            hint="stop that one first: systemctl stop vfioctl-plugin",
        ) from error
    finally:
        os.close(descriptor)
