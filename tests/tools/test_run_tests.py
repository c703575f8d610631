"""The closing summary tells the truth."""

from __future__ import annotations

import sys

from tools.run_tests import summary
from tools.stage import Counts, Outcome, counts_of, run, step


def test_what_did_not_run_is_never_shown_as_passed() -> None:
    """A tier that could not run stands there with its reason and the remedy."""
    outcomes = [
        (
            "unit",
            Outcome("pytest", "passed", 4.0, counts=Counts(10, 0, 2), notes=("install zsh (2 skipped)",)),
        ),
        ("lab", Outcome("lab", "not run", 0.1, notes=("no qemu: apt-get install qemu-system-x86",))),
    ]

    lines = list(summary(outcomes, [], 5))

    assert "  pytest: install zsh (2 skipped)" in lines
    assert "  lab: no qemu: apt-get install qemu-system-x86" in lines
    assert lines[-2] == "nothing failed; not run: lab; 5 s"
    assert lines[-1] == "10 passed, 0 failed, 2 skipped"


def test_failures_are_named_and_tiers_are_summed() -> None:
    """The verdict names each failed step; the last line counts the tests of every tier."""
    outcomes = [
        ("lint", Outcome("ruff check", "failed", 0.2)),
        ("unit", Outcome("pytest", "failed", 4.0, counts=Counts(10, 1, 0))),
        ("lab", Outcome("lab", "passed", 60.0, counts=Counts(5, 0, 1))),
    ]

    lines = list(summary(outcomes, ["wheel"], 70))

    assert lines[-2] == "FAILED: ruff check, pytest; 70 s"
    assert lines[-1] == "15 passed, 1 failed, 1 skipped"
    assert any(line.startswith("wheel") and line.endswith("not asked for") for line in lines)


def test_a_step_fails_with_its_exit_code() -> None:
    """The program's own verdict counts."""
    outcome = step("seven", [sys.executable, "-c", "raise SystemExit(7)"])

    assert (outcome.result, outcome.remark) == ("failed", "exit code 7")


def test_a_step_that_hangs_is_ended_with_its_children() -> None:
    """The summary is printed even where a test never ends."""
    hang = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"

    ended = run([sys.executable, "-c", hang], timeout=1, quiet=True)

    assert ended.code == -9
    assert ended.seconds < 30
    assert "ended after 1 s" in ended.output


def test_counts_are_read_from_the_last_line_that_has_any() -> None:
    """Errors count as failures."""
    output = "1 passed\n=== 3 passed, 1 failed, 2 skipped, 1 error in 4.00s ===\nbye\n"

    assert counts_of(output) == Counts(3, 2, 2)
    assert counts_of("nothing") == Counts()
