"""Reading where a hang can be left behind.

Some attributes block in uninterruptible sleep while another program's unbind is stuck, and SIGKILL does
not end that (K34, K55). So devices are read by child processes: one that makes no progress is abandoned,
what it was reading is reported as blocked, and a new child goes on with the next. On large hosts several
children share the work.
"""

from __future__ import annotations

import gc
import marshal
import os
from time import monotonic, sleep

from vfioctl.lean import signal, suppress
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    from vfioctl.sysfs.attribute import Files, Trace

    Result: TypeAlias = Any

PATIENCE = 0.25
"""Seconds between two looks at children that send nothing; half of it for each that was abandoned."""
LEAST_PATIENCE = 0.1
"""Seconds that every child is given, however many were abandoned before."""
STUCK_ROUNDS = 3
"""How many looks in a row must find a child in D state at the same job: memory pressure makes short ones."""
MOST_ROUNDS = 12
"""How many times as long a child may stand still that does not sleep in D state."""
STARVED_ROUNDS = 120
"""And one that could run and is not let: fifty commands on one slow processor wait for seconds each."""

ASLEEP, RUNNABLE = b"D", b"R"
"""Letters of a process's state: in uninterruptible sleep; running, or waiting for nothing but a processor."""
_SPIN = 100
"""Ticks of the kernel's, a second, in which any job is done that gets anywhere."""
_FAREWELL = 0.1
"""Seconds that a killed child may take to end before it is left to the next call."""

_left_behind: set[int] = set()

_ENDING = (signal.SIGINT, signal.SIGTERM)

_BATCH = 128
_NUMBER_BYTES = 4


class Child(NamedTuple):
    """A process that reads some of the jobs."""

    pid: int
    pipe: int
    slot: int
    indexes: list[int]


def gather(
    jobs: Sequence[str],
    work: Callable[[str], Result],
    *,
    processes: int = 1,
    patience: float | None = PATIENCE,
    files: Files | None = None,
) -> list[Result | None]:
    """Run ``work`` on every job in child processes; None for each job that blocked.

    Without ``patience``, for reads that end, however slowly, no child is abandoned, and this process does its
    share. Results must be plain values, since they come back through :mod:`marshal`. So does what ``files``
    keep of the reads.

    Raises:
        ChildProcessError: ``work`` raised, or a child was killed by somebody else.

    """
    from mmap import mmap

    results: list[Result | None] = [None] * len(jobs)
    # Where each child is, in memory that it shares with its parent.
    size = _NUMBER_BYTES * processes
    with mmap(-1, size) as shared, memoryview(shared) as view, view.cast("I") as places:
        team = _Team(jobs, work, files, places, results)
        try:
            # Dealt out like cards: what lies together in the list costs alike.
            hands = [list(range(slot, len(jobs), processes)) for slot in range(processes)]
            own = hands.pop() if patience is None else []
            for slot, indexes in enumerate(hands):
                team.start(slot, indexes)
            team.work_here(own)
            team.collect(patience)
        finally:
            team.abandon_all()
            _reap(_FAREWELL)
    return results


class _Standing(NamedTuple):
    """For how many looks in a row a child has stood at one job, and how."""

    where: int
    since: int
    """How long it had run when it was first seen there, in the kernel's ticks."""
    rounds: int = 0
    asleep: int = 0
    """In D state."""
    starved: bool = False
    """It could run, and has hardly been let."""

    def after(self, where: int, state: bytes, ran: int) -> _Standing:
        """Return what is so after one more look."""
        if where != self.where:
            return _Standing(where, ran)
        starved = state == RUNNABLE and ran - self.since < _SPIN
        asleep = self.asleep + 1 if state == ASLEEP else 0
        return _Standing(where, self.since, self.rounds + 1, asleep, starved)

    @property
    def is_stuck(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return self.asleep >= STUCK_ROUNDS or self.rounds >= (STARVED_ROUNDS if self.starved else MOST_ROUNDS)


_NOWHERE = _Standing(-1, 0)


class _Team:
    """The children at work, what each has sent so far, and where each one is."""

    def __init__(
        self,
        jobs: Sequence[str],
        work: Callable[[str], Result],
        files: Files | None,
        places: memoryview[int],
        results: list[Result | None],
    ) -> None:
        self._jobs = jobs
        self._work = work
        self._files = files
        self._places = places
        self._results = results
        self._children: dict[int, Child] = {}
        self._buffers: dict[int, bytearray] = {}
        self._seen: dict[int, _Standing] = {}

    def start(self, slot: int, indexes: list[int]) -> None:
        """Fork a child for these jobs."""
        if not indexes:
            return
        self._places[slot] = indexes[0]
        # An interrupt between the fork and its being noted would leave a child that nobody knows of.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            receiving, sending = os.pipe()
            pid = os.fork()
            if pid == 0:
                self._serve(sending, slot, indexes)
            os.close(sending)
            self._children[receiving] = Child(pid, receiving, slot, indexes)
            self._buffers[receiving] = bytearray()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _serve(self, pipe: int, slot: int, indexes: list[int]) -> None:
        """Read the jobs and send what was found; never returns."""
        code = 1
        # It ends soon; collecting would only copy pages that are shared with the parent.
        gc.disable()
        try:
            for number in _ENDING:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            _let_go(pipe)
            for start in range(0, len(indexes), _BATCH):
                results = []
                for index in indexes[start : start + _BATCH]:
                    self._places[slot] = index
                    results.append(self._work(self._jobs[index]))
                _send(pipe, marshal.dumps((results, self._files.drain() if self._files else [])))
            code = 0
        except Exception as error:  # noqa: BLE001 - reported by the parent, whatever it is
            _send(pipe, marshal.dumps(f"{type(error).__name__}: {error}"))
        finally:
            os._exit(code)

    def work_here(self, indexes: list[int]) -> None:
        """Read these jobs in this process, and now and then take in what the children send meanwhile."""
        from select import select

        for start in range(0, len(indexes), _BATCH):
            for index in indexes[start : start + _BATCH]:
                self._results[index] = self._work(self._jobs[index])
            # A pipe holds a few batches: a child must not stand still because it is full.
            for pipe in select(list(self._children), [], [], 0)[0]:
                self._receive(pipe)

    def collect(self, patience: float | None) -> None:
        """Receive until every job has a result or is known to block."""
        from select import select

        while self._children:
            ready, _, _ = select(list(self._children), [], [], patience)
            for pipe in ready:
                self._receive(pipe)
            if patience is not None and not ready and self._replace_stalled():
                patience = max(patience / 2, LEAST_PATIENCE)

    def _receive(self, pipe: int) -> None:
        data = os.read(pipe, 1 << 20)
        buffer = self._buffers[pipe]
        buffer += data
        child = self._children[pipe]
        while len(buffer) >= _NUMBER_BYTES:
            size = int.from_bytes(buffer[:_NUMBER_BYTES], "little")
            if len(buffer) < _NUMBER_BYTES + size:
                break
            self._accept(marshal.loads(memoryview(buffer)[_NUMBER_BYTES : _NUMBER_BYTES + size]), child)  # noqa: S302 - our own child
            del buffer[: _NUMBER_BYTES + size]
        if not data:
            self._finish(child)

    def _accept(self, batch: tuple[list[Result], list[Trace]] | str, child: Child) -> None:
        if isinstance(batch, str):
            raise ChildProcessError(batch)
        results, traces = batch
        for index, result in zip(child.indexes, results, strict=False):
            self._results[index] = result
        del child.indexes[: len(results)]
        if self._files:
            self._files.absorb(traces)

    def _finish(self, child: Child) -> None:
        os.waitpid(child.pid, 0)
        self._forget(child)
        if child.indexes:
            raise ChildProcessError("a reading process was ended from outside")

    def _replace_stalled(self) -> bool:
        """Abandon children that stand where they stood; start others behind what blocked them."""
        replaced = False
        for child in list(self._children.values()):
            where = self._places[child.slot]
            standing = self._seen.get(child.pid, _NOWHERE).after(where, *state_of(child.pid))
            self._seen[child.pid] = standing
            if not standing.is_stuck:
                continue
            self._abandon(child)
            # What it had read but not yet sent is read again.
            self.start(child.slot, [index for index in child.indexes if index != where])
            replaced = True
        return replaced

    def abandon_all(self) -> None:
        """Leave every child that is still at work."""
        for child in list(self._children.values()):
            self._abandon(child)

    def _abandon(self, child: Child) -> None:
        self._forget(child)
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
        _left_behind.add(child.pid)

    def _forget(self, child: Child) -> None:
        del self._children[child.pipe]
        del self._buffers[child.pipe]
        self._seen.pop(child.pid, None)
        os.close(child.pipe)


def _reap(wait: float) -> None:
    """Take leave of killed children; those in D state are asked again next time, and in the end by init."""
    until = monotonic() + wait
    while True:
        for pid in tuple(_left_behind):
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    continue
            _left_behind.discard(pid)
        if monotonic() >= until or all(map(_sleeps_uninterruptibly, _left_behind)):
            return
        sleep(0.001)


def _let_go(pipe: int) -> None:
    """Let go of standard input, output and errors.

    One that is left behind in D state would keep open what somebody reads to its end: a pipe, an ssh session.
    """
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    # Where standard ones were closed, the pipe has one of their numbers.
    for standard in {0, 1, 2} - {pipe}:
        os.dup2(nowhere, standard)


def _send(pipe: int, payload: bytes) -> None:
    view = memoryview(len(payload).to_bytes(_NUMBER_BYTES, "little") + payload)
    while view:
        view = view[os.write(pipe, view) :]


def _sleeps_uninterruptibly(pid: int) -> bool:
    """Tell whether a child is in D state, where no signal reaches it."""
    return state_of(pid)[0] == ASLEEP


def state_of(pid: int) -> tuple[bytes, int]:
    """Return the letter of a child's state, and for how many ticks it has run; of one that is gone none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b") ")[2].split()
    except OSError:
        return b"", 0
    return fields[0], int(fields[11]) + int(fields[12])
