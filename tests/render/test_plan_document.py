"""The plan as a document."""

from __future__ import annotations

import pytest

from tests.render.changes import DISPLAY, GPU, bind_plan, done, failed_at
from vfioctl.plan.outcome import Report, Result, Status, StepOutcome
from vfioctl.plan.steps import SetOverride
from vfioctl.render.document import document_text
from vfioctl.render.plan_document import plan_document


def test_the_keys_are_those_that_scripts_rely_on() -> None:
    """In this order, in every member."""
    document = plan_document(done(bind_plan(DISPLAY), "vfio-pci", "vfio-pci"), dry_run=False)

    assert list(document) == ["schema", "kind", "dry_run", "steps", "findings", "result", "exit_code"]
    assert (document["schema"], document["kind"], document["dry_run"]) == (1, "plan", False)
    assert {tuple(step) for step in document["steps"]} == {("step", "address", "path", "value", "outcome")}
    assert document["findings"] == [
        {
            "check": "console",
            "severity": "refuse",
            "address": "0000:01:00.0",
            "message": "it is the display the firmware started on (boot VGA)",
            "hint": "use another one",
        }
    ]


def test_the_steps_are_the_plans_in_their_order_with_what_is_written() -> None:
    """Modules have no address; a cleared override is a line break (K8)."""
    plan = bind_plan()

    steps = plan_document(done(plan, "vfio-pci", "vfio-pci"), dry_run=False)["steps"]

    assert [(step["path"], step["value"]) for step in steps] == [(one.path, one.value) for one in plan.steps]
    assert steps[0] == {
        "step": "modprobe",
        "address": None,
        "path": "modprobe",
        "value": "vfio_pci",
        "outcome": "done",
    }
    assert (steps[-1]["path"], steps[-1]["value"]) == ("/dev/vfio/0", "0 0660")


def test_the_steps_of_a_rollback_stand_behind_the_others() -> None:
    """Whatever was written is in the document."""
    plan = bind_plan()
    report = failed_at(plan, 3, Result.ROLLED_BACK, {})
    report = report._replace(undo=(StepOutcome(SetOverride(GPU, None), Status.DONE),))

    document = plan_document(report, dry_run=False)

    outcomes = [step["outcome"] for step in document["steps"]]
    assert outcomes == ["undone"] * 3 + ["failed"] + ["skipped"] * 4 + ["done"]
    assert document["steps"][-1]["value"] == "\n"
    assert (document["result"], document["exit_code"]) == ("rolled-back", 7)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (Result.PLANNED, 0),
        (Result.DONE, 0),
        (Result.ALREADY, 0),
        (Result.REFUSED, 4),
        (Result.ROLLED_BACK, 7),
        (Result.PARTIAL, 8),
        (Result.STUCK, 8),
    ],
)
def test_the_exit_code_is_that_of_the_command(result: Result, code: int) -> None:
    """So that a script need not ask its shell."""
    document = plan_document(Report(bind_plan(DISPLAY), (), result), dry_run=True)

    assert (document["result"], document["exit_code"]) == (result.value, code)


def test_it_is_encoded_with_one_step_per_line() -> None:
    """For grep, as every document."""
    text = document_text(plan_document(done(bind_plan(), "vfio-pci", "vfio-pci"), dry_run=False))

    assert sum(line.startswith('{"step": ') for line in text.splitlines()) == 8
