"""One serve-plugin at a time: a second one would take the sockets of the first."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager

from vfioctl.errors import LockedError, NotPermittedError, UsageError
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
        UsageError: its folder, where all is kept, is not this user's alone to write to.

    """
    folder = os.path.dirname(path)  # noqa: PTH120 - of a text
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)  # noqa: PTH103 - one call
        check_folder(folder)
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


def check_folder(folder: str) -> None:
    """Refuse a folder in which others could put something in the place of what is kept there.

    Raises:
        UsageError: it is none that only root and this user may write to.
        OSError: it is not there.

    """
    status = os.lstat(folder)
    writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {0, os.geteuid()} or writable:
        raise UsageError(
            f"{folder} is no folder that only root may write to",
            hint=f"chown root {folder}; chmod 755 {folder}",
        )
