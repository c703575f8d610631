"""Rights that a process gives up itself: what is left is what a program has that `setpriv` has started."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

CAPABILITIES: Final = {"chown": 0, "fowner": 3, "sys_module": 16, "sys_ptrace": 19, "sys_admin": 21}
"""The kernel's numbers of those that scenarios leave to a command."""
LAST: Final = Path("/proc/sys/kernel/cap_last_cap")
_PR_SET_DUMPABLE: Final = 4
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_VERSION_3: Final = 0x20080522
"""What the kernel is told of how its capabilities are laid out: two words for each set."""
_WORD: Final = (1 << 32) - 1


def become(user: int) -> None:
    """Be another user; nothing leads back."""
    os.setregid(user, user)
    os.setreuid(user, user)
    # Who changes its user loses its own files below /proc to root, until it starts a program.
    _done("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)


def keep(names: Iterable[str]) -> None:
    """Keep these capabilities alone, now and in every program that is started."""
    kept = {CAPABILITIES[name] for name in names}
    for number in range(int(LAST.read_text(encoding="ascii")) + 1):
        if number not in kept:
            _done("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0)
    _done("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    mask = sum(1 << number for number in kept)
    low, high = mask & _WORD, mask >> 32
    # Effective, permitted, inheritable, each in its low and then in its high half.
    _done("capset", struct.pack("Ii", _VERSION_3, 0), struct.pack("6I", low, low, 0, high, high, 0))


def _done(name: str, *arguments: int | bytes) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library[name](*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
