"""Run what `make test` is made of, go on after a failure, and close with what ran and what did not.

    python -m tools.run_tests [STAGE...]

A stage that could not run is never shown as passed; its reason and the remedy stand in the summary.
The exit code is 1 where anything failed, 130 where the run was interrupted; the summary is printed then too.
What failed is named at the end, where it is seen of a log that is cut off at its beginning.
The last line sums up the tests of all tiers.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from contextlib import ExitStack, closing, contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from tools.generated import PROJECT
from tools.stage import (
    Counts,
    Outcome,
    beside,
    counts_of,
    end,
    exit_remark,
    lines_of,
    outcome_of,
    remark_on,
    run,
    step,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from tools.stage import Result

GENERATORS: Final = ("completions", "man", "readme", "screenshots", "pci_ids", "protocols")
"""The tools that write committed files."""

LAB_CANNOT_RUN: Final = 3
"""The exit code of `python -m tests.lab check` where the real-kernel tier cannot run here."""

INTERRUPTED: Final = 130
"""The exit code after an interrupt, as a shell has it."""

Steps: TypeAlias = "Generator[Outcome | None]"
"""How the steps of a stage end. None: it is under way, and what comes next has to be waited for."""
_PYTHON: Final = sys.executable
_FETCH: Final = (_PYTHON, "-m", "tests.lab", "prepare")
_REPORTS: Final = PROJECT / "build"
_COVERAGE: Final = PROJECT / "build" / "coverage"
_PYTEST_SECONDS: Final = 1200
_LAB_SECONDS: Final = 4500
_NAMED: Final = 15
"""Failed tests named of a step; more have a cause in common, as a rule."""
_WIDTH: Final = 150
"""Characters of such a line."""


def lint() -> Steps:
    """Check style, formatting, spelling, docstrings, and that generated files are current."""
    yield step("ruff check", [_PYTHON, "-m", "ruff", "check", "."])
    yield step("ruff format", [_PYTHON, "-m", "ruff", "format", "--check", "."])
    yield step("codespell", [_PYTHON, "-m", "codespell_lib", "."])
    yield step("interrogate", [_PYTHON, "-m", "interrogate", "--quiet", "vfioctl"])
    for generator in GENERATORS:
        yield step(f"generated: {generator}", [_PYTHON, "-m", f"tools.{generator}", "--check"])


def types() -> Steps:
    """Check types, strictly, over the package, the tools and the tests."""
    with beside([_PYTHON, "-m", "mypy"], timeout=600) as wait:
        yield None
        yield outcome_of("mypy", wait())


def floors() -> Steps:
    """Check which part imports which."""
    yield step("import-linter", [str(Path(_PYTHON).with_name("lint-imports")), "--no-cache", "--no-logo"])


def unit() -> Steps:
    """Run the tests that are quick, with branch coverage."""
    _COVERAGE.mkdir(parents=True, exist_ok=True)
    # A run that dies early must not be judged by what an earlier one left.
    for left_over in _COVERAGE.glob("data*"):
        left_over.unlink()
    # The floor of coverage is checked once, below, where it has a line of its own.
    yield _pytest("unit", "not long", "--cov", "--cov-report=", "--cov-fail-under=0")
    total = run([_PYTHON, "-m", "coverage", "report"], timeout=60, quiet=True)
    if total.code:
        print(total.output)
    percent = re.search(r"^TOTAL.* (\S+%)$", total.output, re.MULTILINE)
    remark = f"{percent[1]} of lines and branches" if percent else "no data"
    yield Outcome("coverage", "failed" if total.code else "passed", total.seconds, remark)


def long() -> Steps:
    """Run the tests that are not: properties, programs, every command line of every page."""
    yield _pytest("long", "long")


def _pytest(tier: str, marks: str, *more: str) -> Outcome:
    """Run the tests with these marks on every core."""
    report = _REPORTS / f"junit-{tier}.xml"
    report.unlink(missing_ok=True)
    # One process more than there are cores: some tests wait for what never comes.
    processes = len(os.sched_getaffinity(0)) + 1
    command = [_PYTHON, "-m", "pytest", "--quiet", "--continue-on-collection-errors", "-m", marks]
    command += [f"--numprocesses={processes}", "--dist=worksteal", "--durations=5", "--durations-min=1"]
    ended = run([*command, *more, f"--junit-xml={report}"], timeout=_PYTEST_SECONDS)
    counts, notes, failures = from_junit(report)
    result: Result = "passed" if ended.code == 0 and counts.passed else "failed"
    return Outcome(
        f"{tier} tests", result, ended.seconds, remark_on(counts, ended.code), counts, notes, failures
    )


def lab() -> Steps:
    """Run on real kernels with a real IOMMU, where this machine can; on one kernel what one is enough for."""
    check = run([_PYTHON, "-m", "tests.lab", "check"], timeout=120)
    if check.code == LAB_CANNOT_RUN:
        reason = " ".join(check.output.split()) or "python -m tests.lab check gave no reason"
        yield Outcome("lab", "not run", check.seconds, "cannot run here, see below", notes=(reason,))
        return
    if check.code:
        yield Outcome("lab", "failed", check.seconds, f"its own check failed: {exit_remark(check.code)}")
        return
    with beside([_PYTHON, "-m", "tests.lab", "run", "--brief"], timeout=_LAB_SECONDS) as wait:
        yield None
        ended = wait()
    counts = counts_of(ended.output)
    result: Result = "failed" if ended.code else "passed" if counts.passed else "not run"
    remark = str(counts) if any(counts) else exit_remark(ended.code) or "it ran no test"
    notes, failures = (lines_of(word, ended.output) for word in ("not run", "failed"))
    yield Outcome("lab", result, ended.seconds, remark, counts, notes, failures)


def wheel() -> Steps:
    """Install the wheel where no development tool is, and use it; install as strangers do."""
    yield step("wheel smoke", [_PYTHON, "-m", "tools.wheel_smoke"], timeout=300)
    yield step("pipx, /opt", [_PYTHON, "-m", "tools.install_smoke"], timeout=600)
    if shutil.which("dpkg-deb"):
        yield step("deb, twice", [_PYTHON, "-m", "tools.deb", "--check"], timeout=900)
    else:
        yield Outcome("deb, twice", "not run", remark="install dpkg")


STAGES: Final[dict[str, Callable[[], Steps]]] = {
    "lint": lint,
    "types": types,
    "floors": floors,
    "unit": unit,
    "long": long,
    "wheel": wheel,
    "lab": lab,
}
INTERRUPTED_BEFORE: Final = Outcome("", "not run", remark="interrupted")
"""What became of a stage, whose name it takes, that an interrupt came before."""
BESIDE: Final = {"lint": "types", "wheel": "lab"}
"""A stage, and a later one that is begun before it: either has a core to spare, and guests wait at times."""


def main() -> int:
    """Run the stages that were asked for, or all, and print the summary."""
    parser = argparse.ArgumentParser(prog="python -m tools.run_tests", allow_abbrev=False)
    parser.add_argument("stage", nargs="*", choices=[*STAGES, []], help="default: every stage")
    wanted: list[str] = parser.parse_args().stage or list(STAGES)
    # Also what a shell has in the background can be interrupted, and so can the programs that tests start.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    start = time.monotonic()
    with fetching() if "lab" in wanted[1:] else nullcontext():
        outcomes, interrupted = carry_out(STAGES, wanted)
    not_asked = [name for name in STAGES if name not in wanted]
    print(*summary(outcomes, not_asked, time.monotonic() - start), sep="\n")
    if interrupted:
        return INTERRUPTED
    return 1 if any(outcome.result == "failed" for _, outcome in outcomes) else 0


@contextmanager
def fetching(command: Sequence[str] = _FETCH) -> Iterator[None]:
    """Have what the lab needs fetched and unpacked meanwhile: on a fresh machine that is two minutes.

    The lab waits for it, and says what is wrong where it failed. It gives way to whatever else wants a core.
    """
    with subprocess.Popen(
        ["nice", *command],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield
        finally:
            end(process)


def carry_out(
    stages: Mapping[str, Callable[[], Steps]], wanted: Sequence[str], alongside: Mapping[str, str] = BESIDE
) -> tuple[list[tuple[str, Outcome]], bool]:
    """Run stages to the end or to an interrupt, and tell which of the two it was.

    An interrupted stage failed, and those behind it did not run.
    """
    outcomes: list[tuple[str, Outcome]] = []
    begun: dict[str, Iterator[Outcome | None]] = {}
    with ExitStack() as under_way:
        for place, name in enumerate(wanted, start=1):
            start = time.monotonic()
            try:
                if (other := alongside.get(name, "")) in wanted[place:]:
                    begun[other] = begin(under_way.enter_context(closing(stages[other]())))
                print(f"\n=== {name}: {' '.join((stages[name].__doc__ or '').split())}", flush=True)
                for outcome in filter(None, begun.get(name) or stages[name]()):
                    outcomes.append((name, outcome))
                    start = time.monotonic()
            except KeyboardInterrupt:
                seconds = time.monotonic() - start
                outcomes.append((name, Outcome(f"{name}, the rest", "failed", seconds, "interrupted")))
                outcomes.extend((rest, INTERRUPTED_BEFORE._replace(name=rest)) for rest in wanted[place:])
                return outcomes, True
    return outcomes, False


def begin(steps: Steps) -> Iterator[Outcome | None]:
    """Have a stage begun that is to run beside others; give what is left of its steps."""
    return chain([next(steps, None)], steps)


def summary(
    outcomes: Iterable[tuple[str, Outcome]], not_asked: Iterable[str], seconds: float
) -> Iterator[str]:
    """Return the closing lines: every step, what did not run and why, the sum of the tests."""
    outcomes = list(outcomes)
    yield f"\n{' summary ':=^78}"
    for stage, outcome in outcomes:
        line = f"{stage:7} {outcome.name:23} {outcome.result:8} {outcome.seconds:6.1f} s  {outcome.remark}"
        yield line.rstrip()
    for name in not_asked:
        yield f"{name:7} {'':23} not run             not asked for"
    notes = [f"  {outcome.name}: {note}" for _, outcome in outcomes for note in outcome.notes]
    if notes:
        yield "did not run, and why:"
        yield from notes
    if named := [line for _, outcome in outcomes for line in _failures(outcome)]:
        yield "failed, and how:"
        yield from named
    failed = [outcome.name for _, outcome in outcomes if outcome.result == "failed"]
    not_run = [outcome.name for _, outcome in outcomes if outcome.result == "not run"]
    verdict = f"FAILED: {', '.join(failed)}" if failed else "nothing failed"
    yield f"{verdict}{'; not run: ' + ', '.join(not_run) if not_run else ''}; {seconds:.0f} s"
    total = Counts()
    for _, outcome in outcomes:
        total = total.plus(outcome.counts)
    yield str(total)


def _failures(outcome: Outcome) -> Iterator[str]:
    """Return a line for each failed test of a step, for so many at most that the verdict stays in sight."""
    for failure in outcome.failures[:_NAMED]:
        yield f"  {outcome.name}: {failure}"[:_WIDTH]
    if more := len(outcome.failures[_NAMED:]):
        yield f"  {outcome.name}: and {more} more"


def from_junit(report: Path) -> tuple[Counts, tuple[str, ...], tuple[str, ...]]:
    """Return the counts of the pytest run, each reason for skipping with its number of tests, what failed.

    Nothing was counted where pytest did not come to write its report.
    """
    try:
        suites = ET.parse(report).getroot()  # noqa: S314 - written by pytest a moment ago
    except (FileNotFoundError, ET.ParseError):
        return Counts(), (), ()
    tests = skipped = 0
    reasons: Counter[str] = Counter()
    failures: list[str] = []
    for case in suites.iter("testcase"):
        tests += 1
        skip = case.find("skipped")
        wrong = [found for kind in ("failure", "error") if (found := case.find(kind)) is not None]
        if wrong:
            said = " ".join(wrong[0].get("message", "").split())
            failures.append(f"{case.get('classname')}: {case.get('name')}: {said}")
        elif skip is not None:
            skipped += 1
            reasons[(skip.get("message") or "no reason given").strip()] += 1
    notes = tuple(f"{reason} ({count} skipped)" for reason, count in sorted(reasons.items()))
    failed = len(failures)
    return Counts(tests - failed - skipped, failed, skipped), notes, tuple(failures)


if __name__ == "__main__":
    sys.exit(main())
