"""Uninterruptible sleep, as a read has it that waits for a lock which a blocked unbind holds (K55)."""

from __future__ import annotations

import ctypes
import signal
import time

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def sleep_uninterruptibly() -> None:
    """Never return; the process sleeps in D state and ends with its parent.

    Who calls vfork sleeps so until its child ends or becomes another program, which this one does not.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if libc.vfork() == 0:
        libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        time.sleep(60)
