"""The port to the running kernel: one writing process for each lane, none of them waited for blindly."""

from __future__ import annotations

import errno
import os
import select
from time import monotonic, sleep

from vfioctl.apply.inflight import InFlight
from vfioctl.apply.kernel import Kernel
from vfioctl.apply.port import Answer
from vfioctl.apply.writer import start_writer
from vfioctl.lean import suppress
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.apply.port import Command
    from vfioctl.apply.writer import Work, Writer

_FAREWELL = 0.5
"""Seconds that writers which have nothing to do may take to end."""

LOST = Answer(errno.ECHILD, "the writing process was ended from outside")
"""The answer of a writer that is gone; whether its command took effect must be looked up."""


class Crew:
    """Writers, started when their lane is first used."""

    def __init__(self, state: str, work: Work | None = None) -> None:
        """Announce effects in this state folder; ``work`` is for tests, the default is the kernel."""
        self._state = state
        self._work = Kernel().perform if work is None else work
        self._writers: dict[int, Writer] = {}
        self._busy: dict[int, int] = {}
        self._hired = 0

    def now(self) -> float:
        """Return the monotonic time."""
        return monotonic()

    def start(self, lane: int, command: Command) -> None:
        """Send the command to the lane's writer."""
        writer = self._writers.get(lane) or self._hire(lane)
        try:
            writer.send(command)
        except BrokenPipeError:
            # It was ended from outside while it had nothing to do: another one does as well.
            self._dismiss(lane)
            writer = self._hire(lane)
            writer.send(command)
        self._busy[writer.answers] = lane

    def _hire(self, lane: int) -> Writer:
        slot, parent, state = self._hired, os.getpid(), self._state
        self._hired += 1
        self._writers[lane] = writer = start_writer(self._work, lambda: InFlight(state, slot, parent))
        return writer

    def wait(self, timeout: float | None) -> list[tuple[int, Answer]]:
        """Return the answers that have come, or none when the time is over."""
        poll = select.poll()
        for pipe in self._busy:
            poll.register(pipe, select.POLLIN)
        # Rounded up: to wake a moment too early would be to look again and again.
        ready = poll.poll(None if timeout is None else int(max(timeout, 0) * 1000) + 1)
        return [self._receive(pipe) for pipe, _ in ready]

    def _receive(self, pipe: int) -> tuple[int, Answer]:
        lane = self._busy.pop(pipe)
        answer = self._writers[lane].receive()
        if answer is None:
            self._dismiss(lane)
            return lane, LOST
        return lane, answer

    def starves(self, lane: int) -> bool:
        """Tell whether the lane's writer could run: it has no answer yet, and waits for nothing else."""
        from vfioctl.sysfs.disposable import RUNNABLE, state_of

        return state_of(self._writers[lane].pid)[0] == RUNNABLE

    def abandon(self, lane: int) -> None:
        """Leave the lane's writer; it is not killed, since in D state it cannot be (K34)."""
        writer = self._writers.pop(lane)
        self._busy.pop(writer.answers, None)
        writer.let_go()

    def _dismiss(self, lane: int) -> None:
        writer = self._writers.pop(lane)
        writer.let_go()
        _reap({writer.pid})

    def close(self) -> None:
        """Let all writers end, and take leave of those that had nothing to do."""
        idle = {writer.pid for writer in self._writers.values() if writer.answers not in self._busy}
        for lane in list(self._writers):
            self.abandon(lane)
        _reap(idle)


def _reap(pids: set[int]) -> None:
    """Ask after processes that end at once; the others are init's."""
    until = monotonic() + _FAREWELL
    pause = 0.0002
    while pids:
        for pid in tuple(pids):
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    continue
            pids.discard(pid)
        if not pids or monotonic() >= until:
            return
        sleep(pause)
        pause = min(pause * 2, 0.01)
