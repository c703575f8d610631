"""A process that carries out commands, one after another, and can be left behind in the middle of one.

It holds nothing of its parent's: not the lock, not the terminal, not the pipe that ``| cat`` waits on.
"""

from __future__ import annotations

import fcntl
import marshal
import os

from vfioctl.apply.port import EFFECTS, Answer, Batch, SetOwner, Single, Write
from vfioctl.lean import signal, suppress
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from vfioctl.apply.inflight import InFlight
    from vfioctl.apply.port import Command

    Work = Callable[[Single], Answer]
    Join = Callable[[], InFlight]

_KINDS = Single.__args__
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SIZE_BYTES = 4
_STANDARD = 3
"""Descriptors below this one are input, output and errors."""


class Writer(NamedTuple):
    """A writing process, seen from its parent."""

    pid: int
    commands: int
    answers: int

    def send(self, command: Command) -> None:
        """Hand it a command.

        Raises:
            BrokenPipeError: it has ended.

        """
        singles = command.commands if isinstance(command, Batch) else (command,)
        _send(self.commands, tuple((_KINDS.index(type(single)), *single) for single in singles))

    def receive(self) -> Answer | None:
        """Take its answer; None when it has ended without one."""
        message = _receive(self.answers)
        if message is None:
            return None
        answers = tuple(Answer(*part) for part in message)
        return answers[0] if len(answers) == 1 else Answer(parts=answers)

    def let_go(self) -> None:
        """Close the pipes: it ends after what it is doing."""
        os.close(self.commands)
        os.close(self.answers)


def start_writer(work: Work, join: Join) -> Writer:
    """Fork a writing process that does the work of every command it is sent.

    ``join`` is called in the new process and gives the place where it announces effects.
    """
    commands, sending = os.pipe()
    receiving, answers = os.pipe()
    # An interrupt between the fork and its being noted would leave a process that nobody knows of.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _live(work, join, commands, answers)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(commands)
    os.close(answers)
    return Writer(pid, sending, receiving)


def _live(work: Work, join: Join, commands: int, answers: int) -> None:
    """Be the writing process; never returns."""
    code = 1
    try:
        commands, answers = _detach(commands, answers)
        _serve(work, join(), commands, answers)
        code = 0
    except BaseException:  # noqa: BLE001 - nobody is there to hear it: the parent sees the pipe end
        code = 1
    finally:
        os._exit(code)


def _detach(commands: int, answers: int) -> tuple[int, int]:
    """Let go of everything that was the parent's; return the two pipes' new descriptors."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    with suppress(OSError):
        os.setsid()
    os.chdir("/")
    # Above the standard ones: those may be closed, and the pipes then have their numbers.
    commands = fcntl.fcntl(commands, fcntl.F_DUPFD_CLOEXEC, _STANDARD)
    answers = fcntl.fcntl(answers, fcntl.F_DUPFD_CLOEXEC, _STANDARD)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(_STANDARD):
        os.dup2(nowhere, standard)
    keep = {commands, answers}
    for descriptor in {int(name) for name in os.listdir("/proc/self/fd")} - keep:
        if descriptor >= _STANDARD:
            with suppress(OSError):
                os.close(descriptor)
    with suppress(OSError), open("/proc/self/comm", "wb") as comm:
        comm.write(b"vfioctl-writer")
    return commands, answers


def _serve(work: Work, inflight: InFlight, commands: int, answers: int) -> None:
    while (message := _receive(commands)) is not None:
        found = []
        for number, *rest in message:
            answer = _perform(work, inflight, _KINDS[number](*rest))
            if answer is None:
                return
            found.append((answer.errno, answer.text))
        _send(answers, tuple(found))


def _perform(work: Work, inflight: InFlight, command: Single) -> Answer | None:
    """Do one thing; None when nobody is there any more who wants it done."""
    if not isinstance(command, EFFECTS):
        return work(command)
    if not inflight.begin(_describe(command)):
        return None
    try:
        return work(command)
    finally:
        inflight.end()


def _describe(command: Write | SetOwner) -> str:
    return f"{command.path} {command.text.strip()}" if isinstance(command, Write) else command.path


def _send(pipe: int, message: tuple[Any, ...]) -> None:
    payload = marshal.dumps(message)
    view = memoryview(len(payload).to_bytes(_SIZE_BYTES, "little") + payload)
    while view:
        view = view[os.write(pipe, view) :]


def _receive(pipe: int) -> tuple[Any, ...] | None:
    """Take one message; None at the end of the pipe, also in the middle of one."""
    header = _take(pipe, _SIZE_BYTES)
    payload = _take(pipe, int.from_bytes(header, "little")) if header else b""
    if not payload:
        return None
    message: tuple[Any, ...] = marshal.loads(payload)  # noqa: S302 - from our own process
    return message


def _take(pipe: int, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = os.read(pipe, size - len(parts))
        if not part:
            return b""
        parts += part
    return parts
