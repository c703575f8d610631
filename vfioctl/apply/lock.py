"""One vfioctl changes a host at a time."""

from __future__ import annotations

import fcntl
import os
import sys
from time import monotonic, sleep

from vfioctl.apply.state import complain, prepare
from vfioctl.errors import LockedError
from vfioctl.lean import contextmanager, suppress
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "lock"
_SOONEST = 0.02
_LATEST = 0.25
"""Seconds from look to look: the longer one has waited, the less it matters, and fifty may be waiting."""
_MOST = 4096

_held: set[int] = set()


def _let_go_in_child() -> None:
    # A flock belongs to all who have the open file. A reading process that was left behind in D state (K55)
    # would otherwise hold the lock for as long as it hangs.
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go_in_child)


@contextmanager
def locked(state: str, timeout: float) -> Iterator[None]:
    """Hold the lock of a state folder, which is made where it is not there.

    It ends with the process, however that ends; no child inherits it.

    Raises:
        LockedError: another process still held it after so many seconds; names it.
        NotPermittedError: this user may not.

    """
    prepare(state)
    path = f"{state}/{_NAME}"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        complain("open", path, error)
    _held.add(descriptor)
    try:
        _acquire(descriptor, timeout)
        yield
    finally:
        # The file stays, or two could each hold one of the same name. Said aloud, since a child that has only
        # just been forked may have it open still.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        _held.discard(descriptor)
        os.close(descriptor)


def at_work(state: str) -> str | None:
    """Return who holds the lock of a state folder now, as pid and command; None: nobody that one may see."""
    try:
        descriptor = os.open(f"{state}/{_NAME}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Shared, so that those who only look do not take each other for the one at work.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def _acquire(descriptor: int, timeout: float) -> None:
    began = monotonic()
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        waited = monotonic() - began
        if waited >= timeout:
            raise _complaint(descriptor, timeout)
        sleep(min(max(_SOONEST, waited / 20), _LATEST, timeout - waited))
    os.ftruncate(descriptor, 0)
    words = "\0".join(("vfioctl", *sys.argv[1:]))
    os.pwrite(descriptor, f"{os.getpid()} {words}".encode(errors="surrogateescape")[:_MOST], 0)


def _complaint(descriptor: int, timeout: float) -> LockedError:
    return LockedError(
        f"another vfioctl is at work ({_holder(descriptor)}); waited {timeout:g} s",
        hint="wait for it to end and try again, or give it longer with --lock-timeout",
    )


def _holder(descriptor: int) -> str:
    import shlex

    pid, _, words = os.pread(descriptor, _MOST, 0).decode(errors="replace").partition(" ")
    command = shlex.join(words.split("\0"))
    # Between its taking the lock and its saying so, there may be nothing, or the one before.
    return f"pid {pid}: {command}" if pid.isdecimal() and os.path.exists(f"/proc/{pid}") else "unknown"
