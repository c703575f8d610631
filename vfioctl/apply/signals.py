"""Signals that ask for an end are looked at between two steps, never in the middle of one."""

from __future__ import annotations

import sys

from vfioctl.lean import contextmanager, signal
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Whether somebody asked for an end."""

    def __init__(self) -> None:
        """Nobody has."""
        self.asked = False

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """Remember it; nothing else is safe here."""
        self.asked = True


@contextmanager
def deferred() -> Iterator[Interruption]:
    """Keep SIGINT, SIGTERM and SIGHUP (the ssh session that ends) from breaking off what is done here.

    What was to happen on them before is put back afterwards. Python lets only the main thread do this; in
    any other nothing is deferred.
    """
    interruption = Interruption()
    # Who has other threads has loaded it.
    threading = sys.modules.get("threading")
    if threading is not None and threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    # What is ignored stays so: nohup means it.
    ours = [number for number in _ENDING if before[number] not in {signal.SIG_IGN, None}]
    try:
        for number in ours:
            signal.signal(number, interruption.note)
        yield interruption
    finally:
        for number in ours:
            signal.signal(number, before[number])
