"""Which effects are under way, known also after the one who ordered them is gone.

A write that was under way when vfioctl was killed still takes effect. So a writing process holds a shared
lock around every effect, on a file in which it says what it does; who holds the lock alone knows that no
late write will surprise it.
"""

from __future__ import annotations

import fcntl
import os
from time import monotonic, sleep

from vfioctl.lean import suppress
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "writers"
_SLOT = 512
_FREE = bytes(_SLOT)
_LOOK = 0.02
_MOST = 1 << 20


class InFlight:
    """A writing process's entry."""

    def __init__(self, state: str, slot: int, parent: int) -> None:
        """Open the file; the slot is this process's alone."""
        self._descriptor = os.open(_path(state), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._slot = slot
        self._parent = parent

    def begin(self, what: str) -> bool:
        """Announce an effect; False when nobody is there any more who wants it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        if os.getppid() != self._parent:
            return False
        # A slot is never full: the last byte ends it.
        text = f"{os.getpid()} {what}".encode()[: _SLOT - 1]
        os.pwrite(self._descriptor, text.ljust(_SLOT, b"\0"), self._slot * _SLOT)
        return True

    def end(self) -> None:
        """Take the entry back."""
        os.pwrite(self._descriptor, _FREE, self._slot * _SLOT)
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Be gone, as at the end of the process; an entry that stands then is nobody's."""
        os.close(self._descriptor)


def await_end(state: str, patience: float) -> tuple[str, ...] | None:
    """Wait until no effect is under way; None then, else what still is after so many seconds."""
    try:
        descriptor = os.open(_path(state), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    until = monotonic() + patience
    try:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # What stands there now was left by processes that were killed.
                os.ftruncate(descriptor, 0)
                return None
            if monotonic() >= until:
                return tuple(_entries(descriptor))
            sleep(_LOOK)
    finally:
        os.close(descriptor)


def is_under_way(state: str) -> bool:
    """Tell whether an effect is under way now."""
    try:
        descriptor = os.open(_path(state), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _entries(descriptor: int) -> Iterator[str]:
    content = os.pread(descriptor, _MOST, 0)
    for start in range(0, len(content), _SLOT):
        pid, _, what = content[start : start + _SLOT].rstrip(b"\0").decode(errors="replace").partition(" ")
        # Entries of killed processes stand beside that of the one which blocks.
        if pid.isdecimal() and os.path.exists(f"/proc/{pid}"):
            yield what


def _path(state: str) -> str:
    return f"{state}/{_NAME}"
