"""Carry out a plan that moves no bindings and needs nothing but the host to be made."""

from __future__ import annotations

from vfioctl.cli.changing import check_may_change
from vfioctl.errors import VfioctlError
from vfioctl.model.value import NamedTuple
from vfioctl.plan.outcome import Report, Result
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vfioctl.cli.persisting import Keep
    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
    from vfioctl.plan.keeping import Kept
    from vfioctl.plan.plan import Plan


class Patience(NamedTuple):
    """Seconds that one write may take, and seconds to wait for another vfioctl."""

    timeout: float
    lock_timeout: float


def carry_out_apart(
    session: Session,
    name: str,
    plan: Callable[[Host], Plan],
    patience: Patience,
    *,
    dry_run: bool,
    then: Sequence[str] = (),
    keeps: Keep | None = None,
) -> int:
    """Plan, and unless it is a dry run carry out; print what came of it and return the exit code.

    ``then`` is what to type next; ``keeps`` says what is stored for the next boot.

    Raises:
        VfioctlError: there was no plan to begin with, or the lock was not to be had.

    """
    check_may_change(session, name, dry_run=dry_run)
    if dry_run:
        found = plan(session.host())
        with session.opened() as root:
            kept = keeps(root, session.host(), found) if keeps and not found.refusals else None
        return show_plan(session, found, kept, binds=False)
    host, report = _run(name, plan, patience)
    if report.result not in {Result.DONE, Result.ALREADY}:
        from vfioctl.cli.reporting import show_failure

        return show_failure(session, host, report)
    from vfioctl.render.apart import done_lines
    from vfioctl.sysfs.root import HostRoot

    return show_stored(
        session,
        report,
        lambda: session.print_lines(done_lines(report, then, width=session.width)),
        None if keeps is None else lambda: keeps(HostRoot(), host, report.plan),
        patience.lock_timeout,
    )


def show_plan(session: Session, plan: Plan, kept: Kept | None, *, binds: bool) -> int:
    """Print a plan that moves no bindings and is not carried out, and what would be stored of it."""
    from vfioctl.cli.reporting import planned, show_refusal

    report = planned(plan)
    if session.form == "json":
        from vfioctl.render.plan_document import plan_document

        files = kept.changes if kept else ()
        session.print_document(plan_document(report, dry_run=True, files=files))
        show_refusal(report)
        return report.exit_code
    from vfioctl.render.persist import kept_lines
    from vfioctl.render.sriov import sriov_plan_lines

    session.print_lines(sriov_plan_lines(plan, binds=binds, width=session.width))
    if kept:
        session.print_lines(kept_lines(kept, planned=True, width=session.width))
    return report.exit_code


def show_stored(
    session: Session,
    report: Report,
    show: Callable[[], None],
    keeps: Callable[[], Kept] | None,
    lock_timeout: float,
) -> int:
    """Store what was done, where that was asked for; print what became of both, and return the exit code."""
    kept, problem = _stored(keeps, lock_timeout) if keeps else (None, None)
    if session.form == "json":
        from vfioctl.render.plan_document import plan_document

        files = kept.changes if kept else ()
        session.print_document(plan_document(report, dry_run=False, files=files))
    else:
        from vfioctl.render.persist import kept_lines

        show()
        if kept:
            session.print_lines(kept_lines(kept, planned=False, width=session.width))
    if problem is None:
        return report.exit_code
    from vfioctl.cli.persisting import complain_of_storing

    return complain_of_storing(problem)


def _stored(keeps: Callable[[], Kept], lock_timeout: float) -> tuple[Kept | None, VfioctlError | None]:
    from vfioctl.cli.persisting import store
    from vfioctl.sysfs.root import HostRoot

    try:
        return store(HostRoot(), keeps, lock_timeout), None
    except VfioctlError as problem:
        return None, problem


def _run(name: str, plan: Callable[[Host], Plan], patience: Patience) -> tuple[Host, Report]:
    from vfioctl.apply.transaction import Settings, carry_out
    from vfioctl.cli.reporting import Tally
    from vfioctl.sysfs.reader import read_host
    from vfioctl.sysfs.root import HostRoot

    hosts: list[Host] = []

    def plan_now() -> Plan:
        hosts.append(read_host(HostRoot()))
        return plan(hosts[-1])

    settings = Settings(timeout=patience.timeout, lock_timeout=patience.lock_timeout)
    report = carry_out(plan_now, settings, observe=Tally(name).count)
    return hosts[-1], report
