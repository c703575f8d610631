"""Signs of life whose text changes while one waits."""

from __future__ import annotations

import io
import itertools
import sys
import time
from typing import TYPE_CHECKING

from vfioctl.cli import progress as module
from vfioctl.cli.progress import progress
from vfioctl.cli.reporting import Tally
from vfioctl.plan.outcome import Status, StepOutcome
from vfioctl.plan.plan import Plan, Unit
from vfioctl.plan.steps import LoadModule

if TYPE_CHECKING:
    import pytest


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_what_is_said_is_asked_for_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was longer before is covered."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    texts = itertools.chain(["a long one\x1b", "short"], itertools.repeat("shorter"))
    said = iter(texts)

    with progress(lambda: next(said)):
        until = time.monotonic() + 10
        while "shorter" not in terminal.getvalue() and time.monotonic() < until:
            time.sleep(0.01)

    shown = terminal.getvalue().split("\r")
    assert shown[1:3] == ["a long one\\x1b ... 0 s", "short ... 0 s" + " " * 9]
    assert shown[-2].strip() == shown[-1] == ""


def test_the_steps_that_are_done_are_counted() -> None:
    """From reading the host to the rollback."""
    steps = (LoadModule("vfio_pci"), LoadModule("vfio_iommu_type1"))
    tally = Tally("bind")
    said = [tally.text()]

    tally.expect(Plan("bind", (), (), steps, (Unit((), ()),)))
    said.append(tally.text())
    for status in (Status.DONE, Status.FAILED):
        tally.count(StepOutcome(steps[0], status))
        said.append(tally.text())

    assert said == [
        "bind: reading this host",
        "bind: 0 of 2 steps done",
        "bind: 1 of 2 steps done",
        "bind: rolling back",
    ]
