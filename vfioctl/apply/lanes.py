"""Runs scripts side by side, each on a lane of a port, each with a deadline.

A script is a generator: it yields commands and is sent the answers. It yields ``Within`` to say how long it
will wait from here on, and ``Pause`` to let time go by. When a deadline passes, the lane is left behind and
the script is told by :class:`OverdueError`, which it may catch and go on from.
"""

from __future__ import annotations

from collections import deque

from vfioctl.apply.port import Answer
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any, TypeVar

    from vfioctl.apply.port import Command, Port

    T = TypeVar("T")

LANES = 8
"""How many scripts are under way at a time, at most."""
MOMENT = 0.005
"""Seconds without an answer after which another lane is opened.

Where the kernel answers at once, one process that writes is faster than several that take turns; where a
driver takes its time, waiting side by side is.
"""
_AGAIN = 0.25
"""Seconds from look to look at what is overdue because the host is busy."""


class Within(NamedTuple):
    """The commands from here on must have come back within so many seconds."""

    seconds: float
    grace: float = 0.0
    """So many more, as long as what is under way could go on and is not let: the host is busy."""


class Pause(NamedTuple):
    """Do nothing for so many seconds."""

    seconds: float


if TYPE_CHECKING:
    Script = Generator[Command | Within | Pause, Answer, T]


class OverdueError(Exception):
    """The command under way has not come back in time; it goes on without us."""


class _Lane:
    """A script under way."""

    def __init__(self, number: int, index: int, script: Script[Any]) -> None:
        self.number = number
        self.index = index
        self.script = script
        self.due: float | None = None
        self.last = 0.0
        """When it is too late in any case."""
        self.resumes: float | None = None

    @property
    def next_look(self) -> float | None:
        """When something is to be done even if no answer comes."""
        return self.due if self.resumes is None else self.resumes


def run_scripts(port: Port, scripts: Sequence[Script[T]]) -> list[T]:
    """Run scripts to their ends and return what they return, in their order.

    They are started in their order, as lanes become free or are opened.
    """
    return _Runner(port, scripts).run()


class _Runner:
    def __init__(self, port: Port, scripts: Sequence[Script[Any]]) -> None:
        self._port = port
        self._waiting = deque(enumerate(scripts))
        self._unopened = list(range(min(LANES, len(scripts))))[::-1]
        self._free: list[int] = []
        self._active: dict[int, _Lane] = {}
        self._results: dict[int, Any] = {}

    def run(self) -> list[Any]:
        while self._waiting or self._active:
            if not self._active and not self._free:
                self._open()
            while self._waiting and self._free:
                lane = _Lane(self._free.pop(), *self._waiting.popleft())
                self._active[lane.number] = lane
                self._advance(lane, None)
            if self._active:
                self._look()
        return [self._results[index] for index in sorted(self._results)]

    def _open(self) -> None:
        self._free.append(self._unopened.pop())

    def _look(self) -> None:
        looks = [lane.next_look for lane in self._active.values() if lane.next_look is not None]
        patience = min(looks) - self._port.now() if looks else None
        crowded = bool(self._waiting and self._unopened)
        if crowded:
            patience = MOMENT if patience is None else min(patience, MOMENT)
        answers = self._port.wait(patience)
        if crowded and not answers:
            self._open()
        for number, answer in answers:
            self._advance(self._active[number], answer)
        now = self._port.now()
        for lane in list(self._active.values()):
            if lane.resumes is not None and lane.resumes <= now:
                lane.resumes = None
                self._advance(lane, Answer())
            elif lane.resumes is None and lane.due is not None and lane.due <= now:
                self._overdue(lane, now)

    def _overdue(self, lane: _Lane, now: float) -> None:
        """Leave a lane behind, unless it deserves more time."""
        if now < lane.last and self._port.starves(lane.number):
            lane.due = min(now + _AGAIN, lane.last)
            return
        self._port.abandon(lane.number)
        lane.due = None
        self._advance(lane, OverdueError())

    def _advance(self, lane: _Lane, what: Answer | OverdueError | None) -> None:
        """Take a script to its next command, or to its end."""
        try:
            asked = self._resume(lane, what)
            while isinstance(asked, Within):
                lane.due = self._port.now() + asked.seconds
                lane.last = lane.due + asked.grace
                asked = lane.script.send(Answer())
        except StopIteration as end:
            self._results[lane.index] = end.value
            del self._active[lane.number]
            self._free.append(lane.number)
            return
        if isinstance(asked, Pause):
            lane.resumes = self._port.now() + asked.seconds
        else:
            self._port.start(lane.number, asked)

    @staticmethod
    def _resume(lane: _Lane, what: Answer | OverdueError | None) -> Command | Within | Pause:
        if what is None:
            return next(lane.script)
        if isinstance(what, OverdueError):
            return lane.script.throw(what)
        return lane.script.send(what)
