"""The same run again and again, until one is not green; each leaves a line in a file that only grows."""

from __future__ import annotations

import datetime as dt
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.lab import results
from tests.lab.ingredients import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tests.lab.results import Boot

FILE: Final = "runs.txt"
"""Beside the results; never emptied here."""
GREEN: Final = "green"
RED: Final = "RED"


class Finished(NamedTuple):
    """What came of one run, and what it took."""

    boots: tuple[Boot, ...]
    seconds: float
    processor_seconds: float

    @property
    def passed(self) -> bool:
        """Whether every guest ran to its end and no scenario failed; a run of nothing is not green."""
        return all(boot.passed for boot in self.boots) and any(boot.count("passed") for boot in self.boots)


def repeat(
    times: int,
    run: Callable[[], Finished],
    about: Callable[[], tuple[str, str]],
    file: Path,
    say: Callable[[str], None],
) -> bool:
    """Run so many times or until one fails, with a line for each; tell whether all were green.

    What a run is about, its commit and what was chosen, is asked before each.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    green = 0
    for number in range(1, times + 1):
        subject = about()
        finished = run()
        line = line_of(dt.datetime.now(dt.UTC), subject, finished)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
        say(f"lab: run {number} of {times}: {line}")
        green += finished.passed
        if not finished.passed:
            break
    say(summary(green, times, file.read_text(encoding="utf-8").splitlines()))
    return green == times


def line_of(when: dt.datetime, subject: Iterable[str], finished: Finished) -> str:
    """Give the line that a run leaves."""
    colour = GREEN if finished.passed else RED
    counts = results.closing_line(finished.boots).removeprefix("lab: ")
    cost = f"{finished.seconds:.0f} s, {finished.processor_seconds:.0f} s of processor time"
    return "  ".join((when.strftime("%Y-%m-%dT%H:%MZ"), *subject, colour, counts, cost))


def summary(green: int, times: int, lines: Sequence[str]) -> str:
    """Say how many were green in a row: now, and in the file for the same commit and the same choice."""
    before = 0
    for line in reversed(lines):
        if not same_subject(line, lines[-1]) or line.split()[3] != GREEN:
            break
        before += 1
    return f"lab: {green} of {times} green in a row; {before} in a row by now with this commit and choice"


def same_subject(line: str, other: str) -> bool:
    """Tell whether two lines are about the same commit and the same choice."""
    return line.split()[1:3] == other.split()[1:3]


def commit() -> str:
    """Give the commit of the checkout, with a plus where files differ from it."""
    words = ["git", "-C", str(CHECKOUT), "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"
