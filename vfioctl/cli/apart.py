"""Carry out a plan that moves no bindings and needs nothing but the host to be made."""

from __future__ import annotations

from vfioctl.cli.changing import check_may_change
from vfioctl.model.value import NamedTuple
from vfioctl.plan.outcome import Report, Result
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
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
) -> int:
    """Plan, and unless it is a dry run carry out; print what came of it and return the exit code.

    ``then`` is what to type next.

    Raises:
        VfioctlError: there was no plan to begin with, or the lock was not to be had.

    """
    check_may_change(session, name, dry_run=dry_run)
    if dry_run:
        return _show_dry_run(session, plan(session.host()))
    host, report = _run(name, plan, patience)
    if report.result not in {Result.DONE, Result.ALREADY}:
        from vfioctl.cli.reporting import show_failure

        return show_failure(session, host, report)
    if session.form == "json":
        from vfioctl.render.plan_document import plan_document

        session.print_document(plan_document(report, dry_run=False))
    else:
        from vfioctl.render.apart import done_lines

        session.print_lines(done_lines(report, then, width=session.width))
    return report.exit_code


def _show_dry_run(session: Session, plan: Plan) -> int:
    from vfioctl.cli.reporting import planned, show_refusal

    report = planned(plan)
    if session.form == "json":
        from vfioctl.render.plan_document import plan_document

        session.print_document(plan_document(report, dry_run=True))
        show_refusal(report)
    else:
        from vfioctl.render.sriov import sriov_plan_lines

        session.print_lines(sriov_plan_lines(plan, binds=False, width=session.width))
    return report.exit_code


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
