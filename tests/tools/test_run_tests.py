"""The closing summary tells the truth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.run_tests import INTERRUPTED, carry_out, fetching, from_junit, summary
from tools.stage import Counts, Outcome, beside, counts_of, lines_of, remark_on, run, step

if TYPE_CHECKING:
    from tools.run_tests import Steps

PROJECT = Path(__file__).parent.parent.parent


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


def test_failed_tests_are_named_where_the_end_of_a_log_shows_them() -> None:
    """A line each, none of them long, and so many that the verdict stays in sight."""
    failures = (*(f"server-6.12: test_{number}: " + "why " * 99 for number in range(20)),)
    outcomes = [("lab", Outcome("lab", "failed", 4.0, counts=Counts(10, 20, 0), failures=failures))]

    lines = list(summary(outcomes, [], 70))

    assert lines[-19] == "failed, and how:"
    assert lines[-18].startswith("  lab: server-6.12: test_0: why why")
    assert max(map(len, lines)) <= 150
    assert lines[-3:-1] == ["  lab: and 5 more", "FAILED: lab; 70 s"]


def test_a_report_of_pytest_gives_counts_reasons_and_failures(tmp_path: Path) -> None:
    """Whatever it was that went wrong, and of how many lines."""
    report = tmp_path / "junit.xml"
    report.write_text(
        """<testsuites><testsuite>
        <testcase classname="tests.a" name="one"/>
        <testcase classname="tests.a" name="two"><failure message="assert 1&#10; == 2"/></testcase>
        <testcase classname="tests.b" name="three"><error message="no such file"/></testcase>
        <testcase classname="tests.b" name="four"><skipped message="install zsh"/></testcase>
        <testcase classname="tests.b" name="five"><skipped message="install zsh"/></testcase>
        </testsuite></testsuites>"""
    )

    counts, notes, failures = from_junit(report)

    assert counts == Counts(1, 2, 2)
    assert notes == ("install zsh (2 skipped)",)
    assert failures == ("tests.a: two: assert 1 == 2", "tests.b: three: no such file")
    assert from_junit(tmp_path / "none.xml") == (Counts(), (), ())


def test_what_a_program_says_of_itself_is_found_by_the_word_before_it() -> None:
    """At the beginning of a line only, in the order in which it was said."""
    output = "lab: 3 failed: no\nfailed: a: why\nnot run: mdev\n  failed: quoted\nfailed: b\n"

    assert lines_of("failed", output) == ("a: why", "b")
    assert lines_of("not run", output) == ("mdev",)
    assert lines_of("skipped", output) == ()


def test_a_step_fails_with_its_exit_code() -> None:
    """The program's own verdict counts."""
    outcome = step("seven", [sys.executable, "-c", "raise SystemExit(7)"])

    assert (outcome.result, outcome.remark) == ("failed", "exit code 7")


@pytest.mark.slow
def test_a_step_that_hangs_is_ended_with_its_children() -> None:
    """The summary is printed even where a test never ends."""
    hang = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"

    ended = run([sys.executable, "-c", hang], timeout=1, quiet=True)

    assert ended.code == -9
    assert ended.seconds < 30
    assert "ended after 1 s" in ended.output


def test_an_interrupt_fails_the_stage_and_leaves_out_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    """What had ended keeps its result; nothing later is shown as passed, and nothing is forgotten."""

    def first() -> Steps:
        yield Outcome("one", "passed", counts=Counts(3, 0, 0))
        raise KeyboardInterrupt

    def second() -> Steps:
        yield Outcome("two", "passed")

    outcomes, interrupted = carry_out({"first": first, "second": second}, ["first", "second"])

    assert interrupted
    assert [(outcome.name, outcome.result) for _, outcome in outcomes] == [
        ("one", "passed"),
        ("first, the rest", "failed"),
        ("second", "not run"),
    ]
    lines = list(summary(outcomes, [], 5))
    assert lines[-2] == "FAILED: first, the rest; not run: second; 5 s"
    assert lines[-1] == "3 passed, 0 failed, 0 skipped"
    assert "=== second" not in capsys.readouterr().out


def test_a_stage_that_runs_alongside_is_begun_before_the_other_and_told_in_its_turn() -> None:
    """The order of the summary is that of the stages."""
    seen: list[str] = []

    def wheel() -> Steps:
        seen.append("wheel")
        yield Outcome("built", "passed")

    def lab() -> Steps:
        seen.append("lab begun")
        yield None
        seen.append("lab waited for")
        yield Outcome("booted", "passed")

    outcomes, interrupted = carry_out({"wheel": wheel, "lab": lab}, ["wheel", "lab"], {"wheel": "lab"})

    assert not interrupted
    assert seen == ["lab begun", "wheel", "lab waited for"]
    assert [outcome.name for _, outcome in outcomes] == ["built", "booted"]


def test_a_stage_that_cannot_run_alongside_says_so_in_its_turn() -> None:
    """What it has said at once is not lost; and where it is not asked for, it is not begun."""

    def wheel() -> Steps:
        yield Outcome("built", "passed")

    def lab() -> Steps:
        yield Outcome("lab", "not run", remark="no memory")

    outcomes, _ = carry_out({"wheel": wheel, "lab": lab}, ["wheel", "lab"], {"wheel": "lab"})
    alone, _ = carry_out({"wheel": wheel, "lab": lab}, ["wheel"], {"wheel": "lab"})

    assert [outcome.result for _, outcome in outcomes] == ["passed", "not run"]
    assert [outcome.name for _, outcome in alone] == ["built"]


def test_an_interrupt_ends_what_runs_alongside() -> None:
    """The guests of a lab that nobody waits for any more."""
    ended: list[bool] = []

    def wheel() -> Steps:
        yield Outcome("built", "passed")
        raise KeyboardInterrupt

    def lab() -> Steps:
        try:
            yield None
        finally:
            ended.append(True)

    outcomes, interrupted = carry_out({"wheel": wheel, "lab": lab}, ["wheel", "lab"], {"wheel": "lab"})

    assert interrupted
    assert ended == [True]
    assert [outcome.result for _, outcome in outcomes] == ["passed", "failed", "not run"]


def test_what_a_program_beside_prints_is_shown_once_it_is_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All of it, with its exit code; nothing of it stands between the lines of the others."""
    code = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(7)"
    with beside([sys.executable, "-u", "-c", code], timeout=30) as wait:
        time.sleep(0.2)
        assert "one" not in capsys.readouterr().out
        ended = wait()

    assert (ended.code, ended.output) == (7, "one\ntwo\n")
    assert capsys.readouterr().out.endswith("one\ntwo\n")


@pytest.mark.slow
def test_a_program_beside_is_ended_with_its_children_when_it_takes_too_long_or_nobody_waits() -> None:
    """At its time, or with the run."""
    hang = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    started = time.monotonic()
    with beside([sys.executable, "-c", hang], timeout=1) as wait:
        ended = wait()
    with beside([sys.executable, "-c", hang], timeout=60):
        pass

    assert (ended.code, ended.output) == (-9, "ended after 1 s\n")
    assert time.monotonic() - started < 30


@pytest.mark.slow
def test_what_is_fetched_meanwhile_ends_with_the_run(tmp_path: Path) -> None:
    """With everything that it started, however the run ends."""
    child = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    told = tmp_path / "pid"
    shell = f'{sys.executable} -c "{child}" {told} & wait'

    def fail_once_it_is_there() -> None:
        with fetching(["sh", "-c", shell]):
            while not told.exists() or not told.read_text():
                time.sleep(0.01)
            raise KeyboardInterrupt

    def wait_for_its_end() -> None:
        while True:  # It is a child of init's now, which takes leave of it a moment later.
            os.kill(int(told.read_text()), 0)
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        fail_once_it_is_there()
    with pytest.raises(ProcessLookupError):
        wait_for_its_end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_step_and_prints_the_summary(number: signal.Signals) -> None:
    """By Ctrl-C or by a build server: a summary, exit code 130, and no process stays behind.

    Also in the background of a script, where the shell has interrupts ignored.
    """
    code = """if True:
        import sys
        from tools import run_tests
        from tools.stage import step
        def unit():
            yield step("hang", [sys.executable, "-c", "import os, time; print(os.getpid()); time.sleep(60)"])
        run_tests.STAGES.update(unit=unit)
        sys.exit(run_tests.main())
    """
    deaf = ["sh", "-c", 'trap "" INT; exec "$0" "$@"']
    command = [*deaf, sys.executable, "-u", "-c", code, "unit", "wheel"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        hanging = next(int(line) for line in program.stdout if line.strip().isdigit())
        program.send_signal(number)
        said, _ = program.communicate(timeout=20)

    assert program.returncode == INTERRUPTED
    assert "FAILED: unit, the rest; not run: wheel; " in said
    with pytest.raises(ProcessLookupError):
        os.kill(hanging, 0)


@pytest.mark.parametrize(
    ("counts", "code", "remark"),
    [
        (Counts(3, 0, 1), 0, "3 passed, 0 failed, 1 skipped"),
        (Counts(3, 1, 0), 1, "3 passed, 1 failed, 0 skipped"),
        (Counts(3, 0, 0), 1, "3 passed, 0 failed, 0 skipped; exit code 1"),
        (Counts(3, 1, 0), 2, "3 passed, 1 failed, 0 skipped; exit code 2"),
        (Counts(), -9, "ended by SIGKILL"),
        (Counts(), 0, "it ran no test"),
    ],
)
def test_an_end_that_the_counts_do_not_explain_is_told(counts: Counts, code: int, remark: str) -> None:
    """An internal error of pytest, an interrupt or a kill never looks like a list of passed tests."""
    assert remark_on(counts, code) == remark


def test_counts_are_read_from_the_last_line_that_has_any() -> None:
    """Errors count as failures."""
    output = "1 passed\n=== 3 passed, 1 failed, 2 skipped, 1 error in 4.00s ===\nbye\n"

    assert counts_of(output) == Counts(3, 2, 2)
    assert counts_of("nothing") == Counts()
