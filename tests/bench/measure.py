"""Time whole processes in turn, so that a machine whose speed drifts slows both sides alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Command(NamedTuple):
    """A command to time."""

    title: str
    words: Sequence[str]
    environment: Mapping[str, str] = {}


class Run(NamedTuple):
    """One process: wall-clock seconds and peak resident memory."""

    seconds: float
    peak_mib: float


class Comparison(NamedTuple):
    """A command beside its yardstick."""

    title: str
    seconds: float
    peak_mib: float
    yardstick: str
    yardstick_seconds: float
    ratio: float
    """Median over the pairs: over 1 is slower than the yardstick."""


def compare(command: Command, yardstick: Command, runs: int) -> Comparison:
    """Run both in turn and take medians; one run of each goes before and is not counted."""
    run_once(command), run_once(yardstick)
    pairs = [(run_once(command), run_once(yardstick)) for _ in range(runs)]
    return Comparison(
        title=command.title,
        seconds=statistics.median(ours.seconds for ours, _ in pairs),
        peak_mib=max(ours.peak_mib for ours, _ in pairs),
        yardstick=yardstick.title,
        yardstick_seconds=statistics.median(theirs.seconds for _, theirs in pairs),
        ratio=statistics.median(ours.seconds / theirs.seconds for ours, theirs in pairs),
    )


def run_once(command: Command) -> Run:
    """Time one process; its output is thrown away.

    Raises:
        RuntimeError: the command failed, so that its time would mean nothing.

    """
    environment = {**os.environ, **command.environment}
    started = time.perf_counter()
    process = subprocess.Popen(
        command.words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command.title}: exit code {process.returncode}")
    return Run(seconds, usage.ru_maxrss / 1024)
