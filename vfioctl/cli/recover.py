"""``vfioctl recover``: undo or finish what a crash left half done."""

from __future__ import annotations

import click

from vfioctl.cli import change_options, changing
from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.options import pass_session
from vfioctl.cli.tree import COMMANDS
from vfioctl.errors import UsageError
from vfioctl.plan.outcome import Report, Result
from vfioctl.plan.plan import Finding, Plan, Severity
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.apply.transaction import Settings
    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
    from vfioctl.plan.unfinished import Unfinished


@click.command(
    "recover",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["recover"][1],
    help="""Undo what a bind or unbind left half done, because it was killed or because a write of it was
stuck: every device goes back to the driver it had. With --finish it goes on to where it was meant to go.

Where a device can go neither back nor on, because it is broken, say, --forget leaves all of them as they are.

What was done is known from the journal in /run/vfioctl. Where there is none, there is nothing to do; running
it twice does no harm. After a reboot drivers have been assigned anew, and only the journal is put away.""",
    epilog="""\b
Examples:
  vfioctl recover -n          what was left, and what would be done about it
  vfioctl recover             back to where everything was
  vfioctl recover --finish    on to where everything was meant to go
""",
)
@click.option("--finish", is_flag=True, help="Carry on instead of undoing.")
@click.option("--forget", is_flag=True, help="Leave every device where it is, and put the journal away.")
@change_options.timeout_option
@change_options.lock_timeout_option
@change_options.dry_run_option
@pass_session
def command(
    session: Session, finish: bool, forget: bool, timeout: float, lock_timeout: float, dry_run: bool
) -> int:
    """Recover from a crash."""
    if forget and (finish or dry_run):
        raise UsageError(
            "--forget does nothing to the devices, so there is nothing to finish or to show beforehand",
            hint="see what was left: vfioctl recover --dry-run",
        )
    if session.root != "/":
        raise UsageError(
            f"recover is about this host: {session.root} has no journal",
            hint="leave --root and VFIOCTL_ROOT away",
        )
    changing.check_may_change(session, "recover", dry_run=dry_run)
    recovery = _Recovery(finish=finish)
    if dry_run:
        return _show(session, recovery)
    from vfioctl.apply.transaction import Settings

    settings = Settings(timeout=timeout, lock_timeout=lock_timeout)
    return _forget(session, settings) if forget else _recover(session, recovery, settings)


class _Recovery:
    """Plans what to do about a journal, for the host as it is."""

    host: Host

    def __init__(self, *, finish: bool) -> None:
        self._finish = finish

    def plan(self, unfinished: Unfinished) -> Plan:
        from vfioctl.plan.recover import plan_recover
        from vfioctl.sysfs.drivers import read_drivers
        from vfioctl.sysfs.reader import read_host
        from vfioctl.sysfs.root import HostRoot
        from vfioctl.sysfs.situation import read_situation

        root = HostRoot()
        host = self.host = read_host(root)
        around = read_situation(root, host, (), {})
        return plan_recover(host, read_drivers(root), unfinished, around, finish=self._finish)


def _recover(session: Session, recovery: _Recovery, settings: Settings) -> int:
    from vfioctl.apply.recovery import recover
    from vfioctl.cli.progress import progress
    from vfioctl.cli.reporting import Tally, show_report

    tally = Tally("recover")

    def plan_for(unfinished: Unfinished) -> Plan:
        plan = recovery.plan(unfinished)
        tally.expect(plan)
        return plan

    with progress(tally.text, quiet=session.verbosity < 0):
        report = recover(plan_for, settings, observe=tally.count)
    if report is None:
        return _nothing(session, dry_run=False)
    return show_report(session, recovery.host, report)


def _show(session: Session, recovery: _Recovery) -> int:
    from vfioctl.apply.journal import read_unfinished
    from vfioctl.apply.transaction import STATE
    from vfioctl.cli.reporting import show_dry_run

    unfinished = read_unfinished(STATE)
    if unfinished is None:
        return _nothing(session, dry_run=True)
    with session.opened():
        plan = recovery.plan(unfinished)
    return show_dry_run(session, recovery.host, plan)


def _forget(session: Session, settings: Settings) -> int:
    from vfioctl.apply.recovery import forget

    unfinished = forget(settings)
    if unfinished is None:
        return _nothing(session, dry_run=False)
    text = f"forgotten: a {unfinished.command} of {unfinished.started}; every device stays where it is"
    if session.form == "json":
        _print_empty(session, Result.DONE, Finding("journal", Severity.NOTE, None, text, ""))
    else:
        session.print_lines([[(text, "")]])
    return 0


def _nothing(session: Session, *, dry_run: bool) -> int:
    """Say that no journal stands."""
    if session.form == "json":
        _print_empty(session, Result.ALREADY, dry_run=dry_run)
    else:
        session.print_lines([[("nothing to recover", "good"), (": nothing was left half done", "")]])
    return 0


def _print_empty(session: Session, result: Result, *findings: Finding, dry_run: bool = False) -> None:
    """Print the document of a plan that has no steps."""
    from vfioctl.render.plan_document import plan_document

    report = Report(Plan("recover", (), (), findings=findings), (), result)
    session.print_document(plan_document(report, dry_run=dry_run))
