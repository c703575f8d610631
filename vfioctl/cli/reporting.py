"""What a changing command says: the plan or what became of it on stdout, warnings and errors on stderr."""

from __future__ import annotations

import sys

from vfioctl.errors import HostCannotError, PartialError, RefusedError, RolledBackError, VfioctlError
from vfioctl.lean import suppress
from vfioctl.plan.outcome import Report, Result, Status, StepOutcome
from vfioctl.plan.plan import Severity
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
    from vfioctl.model.situation import NodeMode
    from vfioctl.plan.keeping import Kept
    from vfioctl.plan.plan import Plan

_HOST_CANNOT = HostCannotError.exit_code


class Tally:
    """Counts the steps that are done, for whoever waits."""

    def __init__(self, command: str) -> None:
        """Start before anything is known."""
        self._command = command
        self._done = 0
        self._total = 0
        self._undoing = False

    def expect(self, plan: Plan) -> None:
        """Take over how many steps there will be."""
        self._total = len(plan.steps)

    def count(self, outcome: StepOutcome) -> None:
        """Count a step that ended."""
        self._done += 1
        self._undoing = self._undoing or outcome.status in {Status.FAILED, Status.STUCK, Status.UNDONE}

    def text(self) -> str:
        """Say how far it is."""
        if self._undoing:
            return f"{self._command}: rolling back"
        if not self._total:
            return f"{self._command}: reading this host"
        return f"{self._command}: {min(self._done, self._total)} of {self._total} steps done"


def planned(plan: Plan) -> Report:
    """Return the report of a plan that was only looked at."""
    if plan.refusals:
        return Report(plan, _all(plan, Status.PLANNED), Result.REFUSED)
    return Report(plan, _all(plan, Status.PLANNED), Result.PLANNED if plan.steps else Result.ALREADY)


def _all(plan: Plan, status: Status) -> tuple[StepOutcome, ...]:
    return tuple(StepOutcome(step, status) for step in plan.steps)


def show_dry_run(session: Session, host: Host, plan: Plan, kept: Kept | None = None) -> int:
    """Print a plan that is not carried out, and return what its checks come to."""
    report = planned(plan)
    if session.form == "json":
        from vfioctl.render.plan_document import plan_document

        session.print_document(plan_document(report, dry_run=True, files=kept.changes if kept else ()))
        complain(_refusal(report))
    else:
        from vfioctl.render.plan import plan_lines

        session.print_lines(plan_lines(host, plan, session.names(), width=session.width))
        _show_kept(session, kept, planned=True)
    return report.exit_code


def _show_kept(session: Session, kept: Kept | None, *, planned: bool) -> None:
    if kept is None:
        return
    from vfioctl.render.persist import kept_lines

    session.print_lines(kept_lines(kept, planned=planned, width=session.width))
    for remark in kept.remarks:
        session.warn(remark)


def show_report(session: Session, host: Host, report: Report, kept: Kept | None = None) -> int:
    """Print what became of a plan that was made for this host, and return the exit code."""
    failed = report.result in {Result.ROLLED_BACK, Result.PARTIAL, Result.STUCK}
    # Who holds what is stuck is known only now.
    now = _read_again() if report.result is Result.STUCK else host
    if session.form == "json":
        _print_document(session, report, host, now, kept)
    elif report.result is not Result.REFUSED:
        from vfioctl.render.outcome import outcome_lines

        nodes = () if failed else _nodes()
        lines = outcome_lines(
            host, report, nodes, session.names(), width=session.width, verbose=session.verbose
        )
        session.print_lines(lines)
        _show_kept(session, kept, planned=False)
    mention(session, report.plan)
    complain(_failure(report, host, now) if failed else _refusal(report))
    return report.exit_code


def show_failure(session: Session, host: Host, report: Report) -> int:
    """Print why a plan was refused or failed that moves no bindings, and return the exit code."""
    now = _read_again() if report.result is Result.STUCK else host
    if session.form == "json":
        _print_document(session, report, host, now, None)
    mention(session, report.plan)
    show_refusal(report)
    if report.result is not Result.REFUSED:
        complain(_failure(report, host, now))
    return report.exit_code


def _print_document(session: Session, report: Report, host: Host, now: Host, kept: Kept | None) -> None:
    from vfioctl.render.plan_document import plan_document
    from vfioctl.render.problems import problem_findings

    failed = report.result in {Result.ROLLED_BACK, Result.PARTIAL, Result.STUCK}
    problems = problem_findings(report, host, now) if failed else ()
    files = kept.changes if kept else ()
    session.print_document(plan_document(report, dry_run=False, problems=problems, files=files))


def show_refusal(report: Report) -> None:
    """Say on stderr what forbids a plan, if anything does."""
    complain(_refusal(report))


def _read_again() -> Host:
    from vfioctl.sysfs.reader import read_host
    from vfioctl.sysfs.root import HostRoot

    return read_host(HostRoot())


def _nodes() -> tuple[NodeMode, ...]:
    from vfioctl.sysfs.root import HostRoot
    from vfioctl.sysfs.situation import read_nodes

    return tuple(read_nodes(HostRoot()))


def mention(session: Session, plan: Plan) -> None:
    """Say on stderr what the checks found and let pass."""
    from vfioctl.render.findings import said

    for one in said(plan.findings):
        text = f"{one.text} [{one.check}]" + (f"; {one.hint}" if one.hint else "")
        if one.severity is Severity.WARN:
            session.warn(text)
        elif one.severity is Severity.NOTE:
            session.note(text)


def _refusal(report: Report) -> VfioctlError | None:
    """Return the findings that forbid a plan as one error."""
    if report.result is not Result.REFUSED:
        return None
    from vfioctl.render.findings import said, way_out

    found = [one for one in said(report.plan.refusals) if one.severity is Severity.REFUSE]
    message = "\n".join(
        [
            f"{report.plan.command} refused, nothing was changed",
            *(f"{one.text} [{one.check}]" for one in found),
        ]
    )
    hints = [*(one.hint for one in found), way_out(report.plan)]
    hint = "\n".join(dict.fromkeys(filter(None, hints)))
    kind = HostCannotError if report.exit_code == _HOST_CANNOT else RefusedError
    return kind(message, hint=hint)


def _failure(report: Report, host: Host, now: Host) -> VfioctlError:
    """Return what went wrong as one error."""
    from vfioctl.render.problems import problem_text

    message, hint = problem_text(report, host, now)
    kind = RolledBackError if report.result is Result.ROLLED_BACK else PartialError
    return kind(message, hint=hint)


def complain(error: VfioctlError | None) -> None:
    """Say an error on stderr; the document on stdout is the plan's, so none is raised."""
    if error is None:
        return
    from vfioctl.cli.main import error_text

    with suppress(OSError):
        sys.stdout.flush()
    with suppress(OSError):
        sys.stderr.write(error_text(error))
