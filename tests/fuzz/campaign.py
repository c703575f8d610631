"""Campaigns: one process for each target, bounded in inputs and in time, whatever becomes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fuzz.guard import LONGEST, PATIENCE, current

if TYPE_CHECKING:
    from tests.fuzz.target import Target

PROJECT = Path(__file__).parent.parent.parent
KEPT = PROJECT / "build" / "fuzz"
"""Where findings are left, a folder for each target."""

_STARTING = 120.0
"""Seconds until a process has imported everything, on a busy machine."""


class Campaign(NamedTuple):
    """What was asked of one target."""

    engine: str
    seed: int
    runs: int
    seconds: float


class Outcome(NamedTuple):
    """What came of it."""

    name: str
    inputs: int
    seeds: int
    crashes: dict[str, str]
    hangs: dict[str, str]
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not (self.crashes or self.hangs)


def run(target: Target, asked: Campaign, kept: Path = KEPT) -> Outcome:
    """Run a campaign in a process of its own; one that is stuck, or dies, is a finding too."""
    keep = kept / target.name
    keep.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.worker", target.name]
    for name, value in asked._asdict().items():
        command += [f"--{name}", str(value)]
    began = time.monotonic()
    with (keep / "log").open("wb") as log:
        try:
            ended = subprocess.run(
                [*command, "--keep", str(keep)],
                cwd=PROJECT,
                env={**os.environ, "PYTHONHASHSEED": "0", "GRPC_ENABLE_FORK_SUPPORT": "false"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=asked.seconds + _STARTING + LONGEST * PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _lost(target, keep, "hang", "it came to no end, and no signal interrupted it", began)
    told = _last_line(ended.stdout)
    if told is None:
        return _lost(
            target, keep, "crash", f"the process ended with {ended.returncode}, see {keep / 'log'}", began
        )
    return Outcome(target.name, seconds=time.monotonic() - began, **told)


def _last_line(output: bytes) -> dict[str, Any] | None:
    lines = output.splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _lost(target: Target, keep: Path, kind: str, why: str, began: float) -> Outcome:
    path = keep / "lost"
    if (keep / "current").exists():
        path.write_bytes(current(keep))
    found = {why: str(path)}
    crashes, hangs = ({}, found) if kind == "hang" else (found, {})
    return Outcome(target.name, 0, len(target.seeds), crashes, hangs, time.monotonic() - began)


def table(outcomes: list[Outcome]) -> list[str]:
    """Return the outcomes as lines, with their sum."""
    lines = [f"{'target':16} {'inputs':>9} {'crashes':>7} {'hangs':>5} {'seeds':>5} {'seconds':>7}"]
    lines += [_line(*one) for one in outcomes]
    total = [sum(numbers) for numbers in zip(*(_numbers(one) for one in outcomes), strict=True)]
    return [*lines, "{:16} {:9,} {:7} {:5} {:5} {:7.0f}".format("all", *total)] if outcomes else lines


def _numbers(one: Outcome) -> tuple[float, ...]:
    return one.inputs, len(one.crashes), len(one.hangs), one.seeds, one.seconds


def _line(
    name: str, inputs: int, seeds: int, crashes: dict[str, str], hangs: dict[str, str], seconds: float
) -> str:
    return f"{name:16} {inputs:9,} {len(crashes):7} {len(hangs):5} {seeds:5} {seconds:7.0f}"
