"""What a run prints and writes: junit, the matrix, the closing line, what is said of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.lab.results import (
    Boot,
    Case,
    brevity,
    cause,
    closing_line,
    failure_text,
    failures,
    matrix,
    write_junit,
)

if TYPE_CHECKING:
    from pathlib import Path

GOOD = Boot(
    "bare", "6.1", "tcg", "6.1.0-1", (Case("a", "passed", 1.0), Case("b", "skipped", 0.0, "why")), 30.0
)
BAD = Boot("server", "6.12", "tcg", "6.12.1", (Case("a", "failed", 2.0, "E assert 1 == 2"),), 60.0)
LOST = Boot("legacy", "6.12", "tcg", "", (), 240.0, trouble="the guest did not come up within 240 s")
LOG = """\
[1.0] lab: scenario a starts
[1.1] something broke
[1.2] lab: scenario b starts
[1.3] all is well
"""


def test_the_closing_line_counts_a_lost_guest_as_a_failure() -> None:
    """Nothing that did not run counts as passed."""
    assert closing_line([GOOD, BAD, LOST]) == "lab: 1 passed, 2 failed, 1 skipped"


def test_a_guest_in_trouble_has_not_passed() -> None:
    """Even if every scenario before the trouble did."""
    assert GOOD.passed
    assert not BAD.passed
    assert not GOOD._replace(trouble="panic").passed


def test_the_matrix_has_a_row_for_each_guest() -> None:
    """With accelerator, kernel release, what it took of the processor and what was remarkable."""
    lines = matrix([GOOD._replace(processor_seconds=17.6), LOST]).splitlines()
    assert lines[0].split() == [
        "topology", "kernel", "passed", "failed", "skipped", "seconds", "processor", "accelerator", "remark",
    ]  # fmt: skip
    assert lines[1].split() == ["bare", "6.1.0-1", "1", "0", "1", "30", "18", "tcg"]
    assert lines[2].endswith("the guest did not come up within 240 s")


def test_junit_has_a_suite_for_each_guest_and_a_case_for_its_trouble(tmp_path: Path) -> None:
    """Any reader of junit sees what went wrong, also with control characters from a console."""
    path = tmp_path / "new" / "junit.xml"
    write_junit(path, [GOOD, BAD._replace(log="\x1b[0m kernel"), LOST])
    suites = ET.parse(path).getroot().findall("testsuite")  # noqa: S314 (written one line above)
    counts = [tuple(suite.get(key) for key in ("name", "tests", "failures", "skipped")) for suite in suites]
    assert counts == [
        ("lab.bare-6.1", "2", "0", "1"),
        ("lab.server-6.12", "1", "1", "0"),
        ("lab.legacy-6.12", "1", "1", "0"),
    ]
    failure = suites[1].find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "assert 1 == 2"
    assert suites[1].findtext("system-out") == "[0m kernel"


def test_a_failure_is_told_with_its_assertion_and_what_the_kernel_said_meanwhile() -> None:
    """And with nothing of what the kernel said later."""
    text = "\n".join(failure_text(BAD._replace(log=LOG), ""))
    assert "E assert 1 == 2" in text
    assert "something broke" in text
    assert "all is well" not in text


def test_what_failed_is_named_with_its_cause() -> None:
    """Scenarios and lost guests, a line each; nothing of what passed."""
    assert list(failures([GOOD, BAD, LOST])) == [
        "server-6.12: a: assert 1 == 2",
        "legacy-6.12: the guest did not come up within 240 s",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "x.py:3: in a\n    assert x\nE   AssertionError: why\nE   assert 0\n---- stdout\nbye",
            "AssertionError: why",
        ),
        ("skipped, for a reason", "skipped, for a reason"),
        ("", ""),
    ],
)
def test_the_cause_is_the_first_line_that_pytest_marks(text: str, said: str) -> None:
    """What a test has printed comes behind it; what is not marked has only its last line."""
    assert cause(text) == said


def test_a_guest_in_trouble_shows_the_end_of_its_console() -> None:
    """The last words of a kernel that panicked are there and nowhere else."""
    text = "\n".join(failure_text(LOST, "\n".join(f"line {number}" for number in range(200))))
    assert "line 199" in text
    assert "line 10\n" not in text


def test_what_a_brief_run_leaves_out_is_counted() -> None:
    """In one line, which says how to have it; a whole run has nothing to say."""
    (line,) = brevity([11, 0, 12])
    assert line == "23 scenarios on a second kernel: the run is brief; make lab runs them"
    assert list(brevity([0, 0])) == []


def test_a_guest_that_passed_says_nothing() -> None:
    """The matrix is enough."""
    assert list(failure_text(GOOD, "console")) == []
