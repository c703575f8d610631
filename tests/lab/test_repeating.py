"""Runs that are repeated: what stands in the file, and when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab import repeating
from tests.lab.repeating import Finished
from tests.lab.results import Boot, Case

if TYPE_CHECKING:
    from pathlib import Path


def finished(outcome: str = "passed", trouble: str = "") -> Finished:
    """Give a run of one guest with one scenario."""
    cases = (Case("test_a", outcome, 1.0),)
    return Finished((Boot("bare", "6.12", "tcg", "6.12.0", cases, 20.0, trouble),), 21.4, 17.6)


def repeated(file: Path, *runs: Finished, commit: str = "abc") -> tuple[bool, list[str]]:
    """Repeat with these results; give whether all were green, and what was said."""
    said: list[str] = []
    left = list(runs)
    green = repeating.repeat(len(runs), lambda: left.pop(0), lambda: (commit, "all/all"), file, said.append)
    return green, said


def test_each_run_leaves_a_line_and_all_green_ends_well(tmp_path: Path) -> None:
    """Date, commit, choice, colour, counts and cost."""
    file = tmp_path / "results" / "runs.txt"

    green, said = repeated(file, finished(), finished())

    lines = file.read_text(encoding="utf-8").splitlines()
    assert green
    assert [line.split("  ", 1)[1] for line in lines] == [
        "abc  all/all  green  1 passed, 0 failed, 0 skipped  21 s, 18 s of processor time"
    ] * 2
    assert said[-1] == "lab: 2 of 2 green in a row; 2 in a row by now with this commit and choice"


def test_the_first_that_fails_is_the_last(tmp_path: Path) -> None:
    """It stands in the file, and nothing is run after it; a guest in trouble is a failure too."""
    file = tmp_path / "runs.txt"

    green, said = repeated(file, finished(), finished(trouble="the guest hangs"), finished())

    lines = file.read_text(encoding="utf-8").splitlines()
    assert not green
    assert [line.split()[3] for line in lines] == ["green", "RED"]
    assert said[-1] == "lab: 1 of 3 green in a row; 0 in a row by now with this commit and choice"


def test_rows_of_several_calls_add_up_for_one_commit_only(tmp_path: Path) -> None:
    """Ten in a row may take more than one evening; another commit begins anew."""
    file = tmp_path / "runs.txt"
    repeated(file, finished(), commit="old")
    repeated(file, finished(), finished())

    _, said = repeated(file, finished())

    assert said[-1] == "lab: 1 of 1 green in a row; 3 in a row by now with this commit and choice"


def test_a_run_of_nothing_is_not_green(tmp_path: Path) -> None:
    """A pattern that chooses no scenario shows nothing."""
    green, _ = repeated(tmp_path / "runs.txt", Finished((), 1.0, 1.0))

    assert not green
    assert finished("skipped").passed is False
