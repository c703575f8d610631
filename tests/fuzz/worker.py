"""The process of one target: everything is imported, the seeds are tried, then inputs are made.

It prints one line of JSON in the end. Run by `tests.fuzz.campaign`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.fuzz import drawn, guided
from tests.fuzz.guard import Guard
from tests.fuzz.target import load

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Run a campaign as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--engine", choices=["guided", "drawn"], required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--keep", type=Path, required=True)
    asked = parser.parse_args()
    # Trees are made and removed a thousand times: in memory, where there is such a place.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="vfioctl-fuzz-", dir=memory) as folder:
        _run(asked, Path(folder))


def _run(asked: argparse.Namespace, folder: Path) -> None:
    place = folder / "place"
    place.mkdir()
    following = asked.engine == "guided"
    with guided.instrumented() if following else nullcontext():
        target = load(asked.target)
        guard = Guard(target.prepare(place), target.allowed, place, asked.keep)
        # What a target imports when it first needs it is imported now.
        for data in target.seeds:
            guard(data)
    attempt = bounded(guard, asked.runs, asked.seconds, len(target.seeds))
    if following:
        guided.campaign(target, attempt, asked.seed, folder)
    drawn.campaign(target, attempt, asked.seed, asked.runs)
    finish(guard, len(target.seeds))


def bounded(guard: Guard, runs: int, seconds: float, seeds: int) -> Callable[[bytes], None]:
    """Return what tries an input and ends the process when it was enough."""
    until = time.monotonic() + seconds

    def attempt(data: bytes) -> None:
        guard(data)
        if guard.inputs >= runs or time.monotonic() >= until:
            finish(guard, seeds)

    return attempt


def finish(guard: Guard, seeds: int) -> NoReturn:
    """Print what came of it; neither libFuzzer nor threads of a target are waited for."""
    told = {"inputs": guard.inputs, "seeds": seeds, "crashes": guard.crashes, "hangs": guard.hangs}
    sys.__stdout__.write(json.dumps(told) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]
    os._exit(1 if guard.crashes or guard.hangs else 0)


if __name__ == "__main__":
    main()
