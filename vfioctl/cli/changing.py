"""What the commands that change bindings share: the way from a request to a report."""

from __future__ import annotations

import os

from vfioctl.errors import NotPermittedError, UsageError
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from vfioctl.cli.change_params import Owner
    from vfioctl.cli.persisting import Keep
    from vfioctl.cli.planning import Planning
    from vfioctl.cli.session import Session
    from vfioctl.model.drivers import DriverCatalog
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector
    from vfioctl.model.situation import Situation
    from vfioctl.plan.outcome import StepOutcome
    from vfioctl.plan.plan import Plan, Request

    Decide: TypeAlias = Callable[[Host, DriverCatalog, Situation, Request], Plan]


TIMEOUT, LOCK_TIMEOUT = 20.0, 10.0
"""Seconds, unless others are given."""


class Asked(NamedTuple):
    """What was typed behind ``bind`` or ``unbind``."""

    command: str
    selectors: tuple[Selector, ...]
    every: bool = False
    driver: str | None = None
    device_only: bool = False
    force: tuple[str, ...] = ()
    timeout: float = TIMEOUT
    lock_timeout: float = LOCK_TIMEOUT
    dry_run: bool = False
    owner: Owner | None = None
    mode: int | None = None
    release_shpchp: bool = False
    persist: bool = False


def check_may_change(session: Session, command: str, *, dry_run: bool) -> None:
    """Refuse at once what cannot work, before anything is read.

    Raises:
        UsageError: another root is to be changed.
        NotPermittedError: this user may not change anything.

    """
    if dry_run:
        return
    if session.root != "/":
        raise UsageError(
            f"{command} changes this host, and {session.root} is another one",
            hint="see what it would do there: --dry-run; for this host, leave --root and VFIOCTL_ROOT away",
        )
    if os.geteuid():
        raise NotPermittedError(
            f"{command} changes drivers, which takes root",
            hint=f"run it as root: sudo vfioctl {command} ...; what it would do, anybody may see: --dry-run",
        )


def decision(command: str) -> Decide:
    """Return the function that plans for a command."""
    if command == "bind":
        from vfioctl.plan.bind import plan_bind

        return plan_bind
    from vfioctl.plan.unbind import plan_unbind

    return plan_unbind


def change(
    session: Session,
    asked: Asked,
    decide: Decide,
    before: tuple[StepOutcome, ...] = (),
    keeps: Keep | None = None,
) -> int:
    """Plan, and unless it is a dry run carry out; print what came of it and return the exit code.

    Steps that were done ``before``, for the devices to be there at all, are reported first; ``keeps`` says
    what is stored instead of the bindings.

    Raises:
        VfioctlError: there was no plan to begin with, or the lock was not to be had.

    """
    check_may_change(session, asked.command, dry_run=asked.dry_run)
    from vfioctl.cli.planning import Planning

    planning = Planning(asked, decide)
    if not asked.dry_run:
        return _carry_out(session, planning, before, keeps)
    from vfioctl.cli.reporting import show_dry_run

    with session.opened() as root:
        plan = planning.plan(root)
        kept = None
        if asked.persist and not plan.refusals:
            from vfioctl.cli.persisting import planned

            kept = planned(root, planning.host, plan)
    return show_dry_run(session, planning.host, plan, kept)


def _carry_out(
    session: Session, planning: Planning, before: tuple[StepOutcome, ...], keeps: Keep | None
) -> int:
    from vfioctl.apply.transaction import Settings, carry_out
    from vfioctl.cli.progress import progress
    from vfioctl.cli.reporting import Tally, show_report
    from vfioctl.sysfs.root import HostRoot

    asked, root = planning.asked, HostRoot()
    if asked.persist and keeps is None:
        from vfioctl.cli.persisting import check_may_store

        check_may_store(root)
    tally = Tally(asked.command)

    def plan_now() -> Plan:
        plan = planning.plan(root)
        tally.expect(plan)
        return plan

    settings = Settings(timeout=asked.timeout, lock_timeout=asked.lock_timeout)
    with progress(tally.text, quiet=session.verbosity < 0):
        report = carry_out(plan_now, settings, observe=tally.count)
    report = report._replace(outcomes=(*before, *report.outcomes))
    if not asked.persist:
        return show_report(session, planning.host, report)
    from vfioctl.cli.persisting import planned, store_and_show

    return store_and_show(session, root, planning, report, keeps or planned)
