"""vfioctl with every effect of it seen from inside, so that one of them can go wrong.

It runs in a fork of this process, which has its modules loaded already: hundreds of runs in a minute, also
where a processor is emulated. Effects are what outlives the process: writes to sysfs, state files replaced
and synced, owners and modes, new processes. Each is announced before and after, in whichever process it
happens; whoever hears it may kill, fail or wait.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from tests.lab.guest import ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WATCHED: Final = (
    "write", "pwrite", "fsync", "ftruncate", "rename", "replace", "unlink", "mkdir", "chown", "chmod", "fork",
)  # fmt: skip
"""The functions of `os` through which vfioctl has effects."""
DEADLINE: Final = 60.0
_PR_SET_CHILD_SUBREAPER: Final = 36
_NO_EFFECT: Final = re.compile(r"(pipe|socket|anon_inode):|/proc/|/dev/null")


class Effect(NamedTuple):
    """One effect: its number in this run over all processes, what it is, and in which process."""

    number: int
    what: str
    pid: int
    tool: int
    """The process of the tool itself; the others are those in which it lets writes block."""
    step: int
    """Its number among the effects of this run that are steps of a plan, 0 for what is none."""


class Unheard(Exception):  # noqa: N818 (not an error: a lie)
    """Raised by a listener: the effect is not carried out, and vfioctl is told that it was (K4, K8)."""


class Run(NamedTuple):
    """How a run ended: exit code, or minus the signal that ended it."""

    exit_code: int
    stdout: str
    stderr: str
    effects: tuple[Effect, ...]
    """What it did, up to its end."""
    seconds: float


def prepare() -> None:
    """Become the parent of processes that a killed tool leaves behind.

    Nothing that is there is looked at again by a fork's collector, which would copy its pages.
    """
    gc.collect()
    gc.freeze()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(
    *arguments: str,
    before: Callable[[Effect], None] | None = None,
    after: Callable[[Effect], None] | None = None,
    deadline: float = DEADLINE,
) -> Run:
    """Run vfioctl in a fork until it has ended and nobody holds its output any more."""
    started = time.monotonic()
    with tempfile.NamedTemporaryFile() as trace:
        outputs = [os.pipe() for _ in range(2)]
        pid = os.fork()
        if pid == 0:
            _be_vfioctl(arguments, [write for _, write in outputs], trace.name, before, after)
        for _, write in outputs:
            os.close(write)
        stdout, stderr = ready.read_all([read for read, _ in outputs], started + deadline)
        _, status = os.waitpid(pid, 0)
        effects = tuple(_read_effects(trace.read().decode().splitlines(), pid))
    return Run(os.waitstatus_to_exitcode(status), stdout, stderr, effects, time.monotonic() - started)


def reap(deadline: float = DEADLINE) -> None:
    """Wait for every process that a killed tool has left behind; raise TimeoutError that names one."""
    end = time.monotonic() + deadline
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if time.monotonic() > end:
                message = f"still there: {_children()}"
                raise TimeoutError(message)
            time.sleep(0.005)


def _children() -> str:
    words = ["ps", "-o", "pid,stat,wchan:24,args", "--ppid", str(os.getpid())]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def all_of(effect: Effect) -> set[int]:
    """Give the processes of a run: the tool, and those in which it reads and writes."""
    children = Path(f"/proc/{effect.tool}/task/{effect.tool}/children")
    return {effect.tool, effect.pid, *map(int, children.read_text(encoding="ascii").split())}


def kill(*pids: int) -> None:
    """Kill processes, this one last; one that is gone already is."""
    for pid in sorted(set(pids), key=lambda pid: pid == os.getpid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    if os.getpid() in pids:
        signal.pause()


def _be_vfioctl(
    arguments: tuple[str, ...],
    outputs: list[int],
    trace: str,
    before: Callable[[Effect], None] | None,
    after: Callable[[Effect], None] | None,
) -> NoReturn:
    """Be vfioctl; never returns."""
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, descriptor in enumerate(outputs, start=1):
            os.dup2(descriptor, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        sys.argv = ["vfioctl", *arguments]
        for number, name in enumerate(("stdout", "stderr"), start=1):
            stream = os.fdopen(number, "w", encoding="utf-8", closefd=False)
            vars(sys).update({name: stream, f"__{name}__": stream})
        _watch(_Watcher(trace, before, after))
        from vfioctl.cli.main import main

        main()
    finally:
        os._exit(70)


class _Watcher:
    """Numbers effects in a file that all processes of a run share, and tells whoever wants to hear."""

    def __init__(
        self,
        trace: str,
        before: Callable[[Effect], None] | None,
        after: Callable[[Effect], None] | None,
    ) -> None:
        self._trace = trace
        self._tool = os.getpid()
        self._before = before
        self._after = after

    def begins(self, what: str) -> Effect:
        """Say that an effect begins; give it with its number."""
        number, step = self._number(what)
        effect = Effect(number, what, os.getpid(), self._tool, step)
        if self._before:
            self._before(effect)
        return effect

    def ended(self, effect: Effect) -> None:
        """Say that it has taken place."""
        if self._after:
            self._after(effect)

    def _number(self, what: str) -> tuple[int, int]:
        # Opened each time, since a writing process closes what it has inherited; and a lock that belongs
        # to the process, not to the open file, which forks would share.
        trace = os.open(self._trace, os.O_RDWR)
        try:
            fcntl.lockf(trace, fcntl.LOCK_EX)
            size = os.fstat(trace).st_size
            lines = os.pread(trace, size, 0).decode().splitlines()
            _ORIGINAL["pwrite"](trace, f"{os.getpid()} {what}\n".encode(), size)
        finally:
            os.close(trace)
        step = 1 + sum(is_step(line.partition(" ")[2]) for line in lines) if is_step(what) else 0
        return len(lines) + 1, step


_ORIGINAL: Final[dict[str, Callable[..., Any]]] = {name: getattr(os, name) for name in WATCHED}


def _watch(watcher: _Watcher) -> None:
    for name in WATCHED:
        setattr(os, name, _watched(name, watcher))


def _watched(name: str, watcher: _Watcher) -> Callable[..., Any]:
    original = _ORIGINAL[name]

    def with_effect(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (any function of os)
        what = _describe(name, arguments)
        if not what:
            return original(*arguments, **options)
        try:
            effect = watcher.begins(what)
        except Unheard:
            return len(arguments[1]) if name == "write" else None
        result = original(*arguments, **options)
        if name != "fork" or result:
            watcher.ended(effect)
        return result

    return with_effect


def _describe(name: str, arguments: tuple[Any, ...]) -> str:
    """Give what an effect is, "" for what is none: pipes between processes, the terminal."""
    if name == "fork":
        return "fork"
    subject = str(arguments[0])
    if isinstance(arguments[0], int):
        if arguments[0] in {1, 2}:
            return ""
        subject = f"/proc/self/fd/{arguments[0]}"
    if subject.startswith("/proc/self/fd/"):
        subject = os.readlink(subject)
    if _NO_EFFECT.match(subject):
        return ""
    value = f" {arguments[1].decode().strip()}" if name == "write" else ""
    return f"{name} {subject}{value}"


def is_step(what: str) -> bool:
    """Tell whether the kernel is told something, or a node's owner is changed."""
    name, _, rest = what.partition(" ")
    return rest.startswith("/sys/") or (name in {"chown", "chmod"} and rest.startswith("/dev/"))


def _read_effects(lines: list[str], tool: int) -> Iterator[Effect]:
    steps = 0
    for number, line in enumerate(lines, start=1):
        pid, _, what = line.partition(" ")
        steps += is_step(what)
        yield Effect(number, what, int(pid), tool, steps if is_step(what) else 0)


def paused(pattern: str, folder: Path) -> Callable[[Effect], None]:
    """Give a listener that stops at the first effect like this until it may go on (see `Pause`)."""
    wanted = re.compile(pattern)

    def pause(effect: Effect) -> None:
        if wanted.search(effect.what) and not (folder / "reached").exists():
            (folder / "reached").touch()
            while not (folder / "go").exists():
                time.sleep(0.02)

    return pause


def main(pattern: str, folder: str, *arguments: str) -> NoReturn:
    """Be a vfioctl that pauses at an effect, as a program of its own."""
    (Path(folder) / "trace").touch()
    _watch(_Watcher(f"{folder}/trace", paused(pattern, Path(folder)), None))
    sys.argv = ["vfioctl", *arguments]
    from vfioctl.cli.main import main as vfioctl

    sys.exit(vfioctl())


if __name__ == "__main__":
    main(*sys.argv[1:])
