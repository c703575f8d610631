"""What came of a boot: scenarios with outcome and time, how the guest ended, junit and the summary matrix."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CONSOLE_LINES: Final = 100
"""How much of a console is shown: a panic's trace, and what led to it."""


class Case(NamedTuple):
    """One scenario: passed, failed or skipped; the text says why it did not pass."""

    name: str
    outcome: str
    seconds: float
    text: str = ""


class Boot(NamedTuple):
    """All that came back from one guest; `trouble` is empty when it ran to its end."""

    topology: str
    kernel: str
    accelerator: str
    release: str
    cases: tuple[Case, ...]
    seconds: float
    trouble: str = ""
    remark: str = ""
    log: str = ""
    disk: bytes | None = None
    """What a machine that is started again has on its disk by now."""
    processor_seconds: float = 0.0
    """What QEMU has used of the processor; 0 where it had ended before it was asked."""

    @property
    def name(self) -> str:
        """The row's name, also that of its folder of results."""
        return f"{self.topology}-{self.kernel}"

    def count(self, outcome: str) -> int:
        """Count the scenarios with this outcome."""
        return sum(case.outcome == outcome for case in self.cases)

    @property
    def passed(self) -> bool:
        """Whether the guest ran to its end and no scenario failed."""
        return not self.trouble and not self.count("failed")


def folder(cache: Path) -> Path:
    """Give the folder of results: the one that the environment names, else one in the cache."""
    named = os.environ.get("VFIOCTL_LAB_RESULTS")
    return Path(named) if named else cache / "results"


def brevity(left_out: Iterable[int]) -> Iterator[str]:
    """Say what a brief run has left out, given how many scenarios of each guest; nothing where none is."""
    if number := sum(left_out):
        yield f"{number} scenarios on a second kernel: the run is brief; make lab runs them"


def failures(boots: Iterable[Boot]) -> Iterator[str]:
    """Name every scenario that failed, and every guest in trouble, with what went wrong."""
    for boot in boots:
        for case in boot.cases:
            if case.outcome == "failed":
                yield f"{boot.name}: {case.name}: {cause(case.text)}"
        if boot.trouble:
            yield f"{boot.name}: {boot.trouble.splitlines()[0]}"


def cause(text: str) -> str:
    """Give the line of a report that says what went wrong: pytest marks it with an E, first the assertion."""
    lines = [line.strip() for line in text.strip().splitlines()] or [""]
    return next((line[1:].strip() for line in lines if line.startswith("E ")), lines[-1])


def closing_line(boots: Iterable[Boot]) -> str:
    """Give the last line of a run; a guest in trouble whose scenarios all passed is one failure more."""
    boots = tuple(boots)
    failed = sum(boot.count("failed") or bool(boot.trouble) for boot in boots)
    passed, skipped = (sum(boot.count(outcome) for boot in boots) for outcome in ("passed", "skipped"))
    return f"lab: {passed} passed, {failed} failed, {skipped} skipped"


def matrix(boots: Sequence[Boot]) -> str:
    """Give the summary: one row for each guest."""
    head = (
        "topology",
        "kernel",
        "passed",
        "failed",
        "skipped",
        "seconds",
        "processor",
        "accelerator",
        "remark",
    )
    rows = [head, *(_row(boot) for boot in boots)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(boot: Boot) -> tuple[str, ...]:
    counts = (str(boot.count(outcome)) for outcome in ("passed", "failed", "skipped"))
    remark = "; ".join(
        text for text in (boot.trouble.splitlines()[0] if boot.trouble else "", boot.remark) if text
    )
    release = boot.release or boot.kernel
    used = f"{boot.processor_seconds:.0f}" if boot.processor_seconds else ""
    return (boot.topology, release, *counts, f"{boot.seconds:.0f}", used, boot.accelerator, remark)


def write_junit(path: Path, boots: Iterable[Boot]) -> None:
    """Write one junit file with a suite for each guest; trouble of a guest is a case of its own."""
    root = ET.Element("testsuites")
    for boot in boots:
        suite = ET.SubElement(root, "testsuite", name=f"lab.{boot.name}", time=f"{boot.seconds:.3f}")
        cases = [*boot.cases, *([Case("guest", "failed", 0.0, boot.trouble)] if boot.trouble else [])]
        suite.set("tests", str(len(cases)))
        suite.set("failures", str(sum(case.outcome == "failed" for case in cases)))
        suite.set("skipped", str(sum(case.outcome == "skipped" for case in cases)))
        for case in cases:
            _junit_case(suite, boot, case)
        if boot.log:
            ET.SubElement(suite, "system-out").text = _printable(boot.log)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _junit_case(suite: ET.Element, boot: Boot, case: Case) -> None:
    name = f"lab.{boot.topology}.{boot.kernel}"
    element = ET.SubElement(suite, "testcase", classname=name, name=case.name, time=f"{case.seconds:.3f}")
    if case.outcome != "passed":
        kind = "failure" if case.outcome == "failed" else "skipped"
        child = ET.SubElement(element, kind, message=_printable(cause(case.text)))
        child.text = _printable(case.text)


def _printable(text: str) -> str:
    """Drop what XML 1.0 cannot hold: control characters of a console."""
    return "".join(char for char in text if char in "\n\t" or char >= " ")


def failure_text(boot: Boot, console: str) -> Iterator[str]:
    """Give what a reader needs of a guest that failed: assertions, how it ended, the kernel's last words."""
    if boot.passed:
        return
    for case in boot.cases:
        if case.outcome == "failed":
            yield f"---- {boot.name}: {case.name} failed"
            yield case.text
            yield from kernel_lines_of(boot.log, case.name)
    if boot.trouble:
        yield f"---- {boot.name}: {boot.trouble}"
        yield "---- last lines of the guest's console"
        yield from console.splitlines()[-CONSOLE_LINES:]


def kernel_lines_of(log: str, scenario: str) -> Iterator[str]:
    """Give what the kernel said while one scenario ran; the guest marks each start in the kernel's log."""
    lines = log.splitlines()
    start = next(
        (index for index, line in enumerate(lines) if f"lab: scenario {scenario} starts" in line), None
    )
    if start is None:
        return
    yield f"---- kernel log during {scenario}"
    for line in lines[start + 1 :]:
        if "lab: scenario " in line and line.endswith(" starts"):
            return
        yield line
