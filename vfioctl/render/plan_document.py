"""A plan as a document: the same for a dry run, a real one, and a refusal."""

from __future__ import annotations

from vfioctl.render.document import document
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.plan.outcome import Report, StepOutcome
    from vfioctl.plan.persist import FileChange
    from vfioctl.plan.plan import Finding
    from vfioctl.render.document import Document


def plan_document(
    report: Report,
    *,
    dry_run: bool,
    problems: Iterable[Finding] = (),
    files: Iterable[FileChange] = (),
) -> Document:
    """Describe what is planned or what became of it; the steps of a rollback stand behind the others.

    Files that are to outlast a reboot come last, as steps of their own kind.
    """
    steps = [_step(outcome) for outcome in (*report.outcomes, *report.undo)]
    if files:
        from vfioctl.render.persist import file_step

        steps += [file_step(change, "planned" if dry_run else "done") for change in files]
    return document(
        "plan",
        dry_run=dry_run,
        steps=steps,
        findings=[_finding(finding) for finding in (*report.plan.findings, *problems)],
        result=report.result.value,
        exit_code=report.exit_code,
    )


def _step(outcome: StepOutcome) -> Document:
    step = outcome.step
    return {
        "step": step.step,
        "address": None if step.address is None else str(step.address),
        "path": step.path,
        "value": step.value,
        "outcome": outcome.status.value,
    }


def _finding(finding: Finding) -> Document:
    return {
        "check": finding.check,
        "severity": finding.severity.value,
        "address": None if finding.address is None else str(finding.address),
        "message": finding.message,
        "hint": finding.hint,
    }
