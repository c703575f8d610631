"""Run one step of `make test` and remember how it ended."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TextIO

from tools.generated import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Result = Literal["passed", "failed", "not run"]


class Counts(NamedTuple):
    """How many tests ended how."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def plus(self, other: Counts) -> Counts:
        """Return the sum of both."""
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


class Outcome(NamedTuple):
    """How one step ended, and what the reader should know about it."""

    name: str
    result: Result
    seconds: float = 0.0
    remark: str = ""
    counts: Counts = Counts()
    notes: tuple[str, ...] = ()
    """Why something of it did not run."""
    failures: tuple[str, ...] = ()
    """Which tests failed, and why."""


class Wait(Protocol):
    """Waits for a program, and shows from then on what it prints."""

    def __call__(self, *, quiet: bool = False) -> Ended:
        """Wait; quietly, nothing is shown."""


class Ended(NamedTuple):
    """A program that has ended: its exit code, what it printed, how long it took."""

    code: int
    output: str
    seconds: float


_LOOK: Final = 0.05
"""Seconds from look to look at what a program has printed."""
_COUNTS: Final = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")


def run(command: Sequence[str], *, timeout: float, quiet: bool = False) -> Ended:
    """Run a command in the checkout, show its output, end it with its children after timeout seconds."""
    with beside(command, timeout=timeout) as wait:
        return wait(quiet=quiet)


@contextmanager
def beside(command: Sequence[str], *, timeout: float) -> Iterator[Wait]:
    """Run a command in the checkout beside other steps, for timeout seconds at most; it ends with this.

    Give the function that waits for it, and shows from then on what it prints.
    """
    start = time.monotonic()
    # Two descriptions of one file: else its writing and the reading here would move each other.
    with (
        tempfile.NamedTemporaryFile() as file,
        Path(file.name).open(encoding="utf-8", errors="replace") as output,
        subprocess.Popen(
            command,
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):

        def wait(*, quiet: bool = False) -> Ended:
            show: TextIO = io.StringIO() if quiet else sys.stdout
            print("$", " ".join(command), file=show, flush=True)
            said = ""
            for part in _parts(process, output, start, timeout):
                said += part
                print(part, end="", file=show, flush=True)
            return Ended(process.wait(), said, time.monotonic() - start)

        try:
            yield wait
        finally:
            end(process)


def _parts(process: subprocess.Popen[bytes], output: TextIO, start: float, timeout: float) -> Iterator[str]:
    """Yield what a program prints until it has ended, or has to be."""
    has_ended = False
    while not has_ended:
        # Asked before it is read: all that a program says before its end is read after that.
        has_ended = process.poll() is not None
        yield output.read()
        if not has_ended and time.monotonic() - start > timeout:
            yield f"ended after {timeout:.0f} s\n"
            end(process)
            process.wait()
        time.sleep(0 if has_ended else _LOOK)


def step(name: str, command: Sequence[str], *, timeout: float = 180) -> Outcome:
    """Run a step whose exit code says everything."""
    return outcome_of(name, run(command, timeout=timeout))


def outcome_of(name: str, ended: Ended) -> Outcome:
    """Return what the exit code of a step says."""
    return Outcome(name, "failed" if ended.code else "passed", ended.seconds, exit_remark(ended.code))


def exit_remark(code: int) -> str:
    """Return what an exit code adds to "failed"."""
    if code == 0:
        return ""
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def remark_on(counts: Counts, code: int) -> str:
    """Return how a run of tests ended: what they counted, and an exit code that the counts do not explain."""
    if counts == Counts():
        return exit_remark(code) or "it ran no test"
    explained = code == 0 or (code == 1 and counts.failed)
    return str(counts) if explained else f"{counts}; {exit_remark(code)}"


def counts_of(output: str) -> Counts:
    """Return the counts of the last line that has any, as pytest prints them."""
    for line in reversed(output.splitlines()):
        found = _COUNTS.findall(line)
        if found:
            numbers = {"passed": 0, "failed": 0, "skipped": 0}
            for number, word in found:
                numbers["failed" if word.startswith("error") else word] += int(number)
            return Counts(**numbers)
    return Counts()


def lines_of(word: str, output: str) -> tuple[str, ...]:
    """Return what stands behind a word and a colon at the beginning of lines."""
    return tuple(re.findall(rf"^{re.escape(word)}: (.+)$", output, re.MULTILINE))


def end(process: subprocess.Popen[Any]) -> None:
    """End a step with everything it started: the session is its own."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
