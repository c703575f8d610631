"""The guest's events become cases, whatever the guest did not get to say."""

from __future__ import annotations

import base64
import json

from tests.lab.protocol import Progress
from tests.lab.results import Case


def fed(*events: dict[str, object]) -> Progress:
    """Give a progress that has taken these events."""
    progress = Progress()
    for event in events:
        list(progress.feed(json.dumps(event).encode() + b"\n"))
    return progress


def report(name: str, outcome: str, text: str = "") -> dict[str, object]:
    """Give the event of one phase of a scenario."""
    return {"event": "report", "name": name, "outcome": outcome, "seconds": 1.5, "text": text}


def test_the_phases_of_a_scenario_are_one_case_with_the_worst_outcome() -> None:
    """A scenario that passes and fails to clean up has failed."""
    progress = fed(report("a", "passed"), report("a", "failed", "boom"), report("a", "passed"))
    assert progress.cases == (Case("a", "failed", 4.5, "boom"),)


def test_a_line_may_arrive_in_pieces() -> None:
    """As a stream does under load."""
    progress = Progress()
    line = b'{"event": "ready", "kernel": "6.1"}\n'
    assert list(progress.feed(line[:9])) == []
    assert list(progress.feed(line[9:])) == ["ready"]
    assert progress.release == "6.1"


def test_noise_on_the_line_is_kept_aside_and_does_no_harm() -> None:
    """Whoever writes to the port by mistake."""
    progress = Progress()
    assert list(progress.feed(b'not json\n{"event": "nonsense"}\n[]\n')) == []
    assert len(progress.noise) == 3


def test_a_scenario_that_never_came_back_fails_with_the_reason_given() -> None:
    """Its deadline is known from its start."""
    progress = fed({"event": "start", "name": "a", "deadline": 30.0})
    assert (progress.running, progress.deadline) == ("a", 30.0)
    progress.abandon("the guest hangs")
    assert progress.cases == (Case("a", "failed", 0.0, "the guest hangs"),)


def test_a_scenario_without_any_report_has_failed() -> None:
    """Pytest always reports; who does not must not count as passed."""
    progress = fed({"event": "start", "name": "a", "deadline": 1.0}, {"event": "finish", "name": "a"})
    assert [case.outcome for case in progress.cases] == ["failed"]
    assert progress.running == ""


def test_files_are_brought_back_under_their_bare_name() -> None:
    """A guest cannot write outside the folder of its results."""
    data = base64.b64encode(b"\0\1").decode()
    assert fed({"event": "file", "name": "../../x", "data": data}).files == {"x": b"\0\1"}
