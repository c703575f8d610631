"""``bind --persist``: what was bound is stored as well."""

from __future__ import annotations

from vfioctl.errors import VfioctlError
from vfioctl.plan.keeping import keep
from vfioctl.plan.outcome import Result
from vfioctl.sysfs.persisted import read_persisted
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.planning import Planning
    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
    from vfioctl.plan.keeping import Kept
    from vfioctl.plan.outcome import Report
    from vfioctl.plan.persist import FileChange
    from vfioctl.plan.plan import Plan
    from vfioctl.sysfs.root import HostRoot


def planned(root: HostRoot, host: Host, plan: Plan) -> Kept:
    """Return what would be stored of a plan."""
    return keep(host, read_persisted(root), plan)


def store_and_show(session: Session, root: HostRoot, planning: Planning, report: Report) -> int:
    """Store what was bound, if it was; print what became of both, and return the exit code."""
    from vfioctl.cli.reporting import complain, show_report

    host = planning.host
    if report.result not in {Result.DONE, Result.ALREADY}:
        return show_report(session, host, report)
    try:
        kept = _store(root, planning, report.plan)
    except VfioctlError as problem:
        show_report(session, host, report)
        problem.message = f"bound for this boot, but not stored: {problem.message}"
        complain(problem)
        return problem.exit_code
    return show_report(session, host, report, kept)


def _store(root: HostRoot, planning: Planning, plan: Plan) -> Kept:
    from vfioctl.apply.files import change_files
    from vfioctl.apply.transaction import STATE, Settings

    kept: Kept | None = None

    def changes() -> tuple[FileChange, ...]:
        nonlocal kept
        # Under the lock: another one may have stored something since.
        kept = planned(root, planning.host, plan)
        return kept.changes

    settings = Settings(lock_timeout=planning.asked.lock_timeout, state=STATE)
    change_files(changes, settings, root)
    assert kept is not None  # noqa: S101 - it was just made
    return kept
