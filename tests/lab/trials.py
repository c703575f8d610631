"""The lab tried on itself: guests that fail in every way, each of which must end in a clear failure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.lab import runner
from tests.lab.topologies import BARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.results import Boot


class Trial(NamedTuple):
    """One file below `selftest/`, how many must pass and fail, and what the report must contain."""

    name: str
    passed: int
    failed: int
    trouble: str
    said: tuple[str, ...]


TRIALS: Final = (
    Trial(
        "assertion",
        1,
        1,
        "",
        ("assert (6 * 7) == 41", "this line is the kernel's", "this line is the scenario's"),
    ),
    Trial("interruptible", 1, 1, "", ("the scenario did not finish within its deadline", "time.sleep(600)")),
    Trial("hang", 0, 1, "the guest hangs", ("test_deaf_to_its_deadline did not come back within 18 s",)),
    Trial(
        "panic", 0, 1, "the guest's kernel panicked", ("sysrq: Trigger a crash", "Kernel panic - not syncing")
    ),
    Trial(
        "memory",
        0,
        1,
        "the guest ran out of memory",
        ("Out of memory: Killed process", "test_eating_all_memory"),
    ),
)
DEADLINE: Final = 420.0
"""Seconds within which any guest must have ended, whatever happens in it; far more than a boot needs."""


def judge(trial: Trial, boot: Boot, report: str, seconds: float) -> Iterator[str]:
    """Give each way in which a trial did not end as it should."""
    counts = (boot.count("passed"), boot.count("failed"))
    if counts != (trial.passed, trial.failed):
        yield f"{counts[0]} passed and {counts[1]} failed instead of {trial.passed} and {trial.failed}"
    if not boot.trouble.startswith(trial.trouble) or bool(boot.trouble) != bool(trial.trouble):
        yield f"the trouble is {boot.trouble!r} instead of {trial.trouble!r}"
    for text in trial.said:
        if text not in report:
            yield f"the report lacks {text!r}"
    if boot.passed:
        yield "it passed"
    if seconds > DEADLINE:
        yield f"it took {seconds:.0f} s"


def run(lab: runner.Lab, kernel: str) -> int:
    """Run every trial and give how many did not end as they should."""
    wrong = 0
    for trial in TRIALS:
        report: list[str] = []
        quiet = lab._replace(say=report.append, results=lab.results / "selftest")
        started = time.monotonic()
        order = runner.Order(BARE, kernel, scenarios=f"tests/lab/selftest/{trial.name}.py")
        boot = runner.run_one(quiet, order)
        seconds = time.monotonic() - started
        complaints = list(judge(trial, boot, "\n".join(report), seconds))
        wrong += bool(complaints)
        lab.say(
            f"lab: selftest {trial.name}: {'not as it should be' if complaints else 'ok'}, {seconds:.0f} s"
        )
        for complaint in complaints:
            lab.say(f"  {complaint}")
        if complaints:
            lab.say("\n".join(report))
    return wrong
