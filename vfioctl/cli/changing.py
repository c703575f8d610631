"""What the commands that change bindings share: their options, and the way from a request to a report."""

from __future__ import annotations

import os
from functools import partial

import click

from vfioctl.cli.change_params import CheckType, DriverType, Owner, Seconds
from vfioctl.cli.params import Argument, SelectorType
from vfioctl.errors import NotPermittedError, UsageError
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias, TypeVar

    from vfioctl.cli.planning import Planning
    from vfioctl.cli.session import Session
    from vfioctl.model.drivers import DriverCatalog
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector
    from vfioctl.model.situation import Situation
    from vfioctl.plan.outcome import StepOutcome
    from vfioctl.plan.plan import Plan, Request

    Function = TypeVar("Function", bound=Callable[..., Any])
    Decide: TypeAlias = Callable[[Host, DriverCatalog, Situation, Request], Plan]


class Asked(NamedTuple):
    """What was typed behind ``bind`` or ``unbind``."""

    command: str
    selectors: tuple[Selector, ...]
    every: bool
    driver: str | None
    device_only: bool
    force: tuple[str, ...]
    timeout: float
    lock_timeout: float
    dry_run: bool
    owner: Owner | None = None
    mode: int | None = None
    release_shpchp: bool = False
    persist: bool = False


selectors_argument = click.argument(
    "selectors",
    nargs=-1,
    required=True,
    type=SelectorType(),
    metavar="SELECTOR...",
    cls=Argument,
    help="Which devices: 65:00.0, 65:00 (a slot), group:17, vfs-of:enp1s0#0-3 ...",
)
every_option = click.option(
    "--all", "every", is_flag=True, help="Mean every device that a selector such as class:gpu matches."
)
device_only_option = click.option(
    "--device-only", is_flag=True, help="Change what is named and leave the rest of its group alone."
)
force_option = click.option(
    "--force",
    type=CheckType(),
    multiple=True,
    metavar="CHECK",
    help="Lift one check that refuses: storage, storage-root, net, ssh, console, gpu-busy, input or mdev.",
)
timeout_option = click.option(
    "--timeout",
    type=Seconds(min=0.1),
    default=20.0,
    metavar="SECONDS",
    help="How long one write may take before it counts as stuck (20, if not given).",
)
lock_timeout_option = click.option(
    "--lock-timeout",
    type=Seconds(min=0.0),
    default=10.0,
    metavar="SECONDS",
    help="How long to wait for another vfioctl to finish (10, if not given).",
)
dry_run_option = click.option(
    "-n", "--dry-run", is_flag=True, help="Print what would be written and found, and change nothing."
)


def driver_option(help_text: str) -> Callable[[Function], Function]:
    """Return the option that names a driver, which means something else to each command."""
    return click.option("--driver", type=DriverType(), metavar="NAME", help=help_text)


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


def change(session: Session, asked: Asked, decide: Decide, before: tuple[StepOutcome, ...] = ()) -> int:
    """Plan, and unless it is a dry run carry out; print what came of it and return the exit code.

    Steps that were done ``before``, for the devices to be there at all, are reported first.

    Raises:
        VfioctlError: there was no plan to begin with, or the lock was not to be had.

    """
    check_may_change(session, asked.command, dry_run=asked.dry_run)
    from vfioctl.cli.planning import Planning

    planning = Planning(asked, decide)
    if not asked.dry_run:
        return _carry_out(session, planning, before)
    from vfioctl.cli.reporting import show_dry_run

    with session.opened() as root:
        plan = planning.plan(root)
        kept = None
        if asked.persist and not plan.refusals:
            from vfioctl.cli.persisting import planned

            kept = planned(root, planning.host, plan)
    return show_dry_run(session, planning.host, plan, kept)


def _carry_out(session: Session, planning: Planning, before: tuple[StepOutcome, ...]) -> int:
    from vfioctl.apply.transaction import Settings, carry_out
    from vfioctl.cli.progress import progress
    from vfioctl.cli.reporting import Tally, refused, show_report
    from vfioctl.sysfs.root import HostRoot

    asked, root = planning.asked, HostRoot()
    tally = Tally(asked.command)
    with progress(tally.text, quiet=session.verbosity < 0):
        plan = planning.plan(root)
        tally.expect(plan)
        if plan.refusals:
            report = refused(plan)
        else:
            # Under the lock everything is read again: it may have changed while another one had it.
            settings = Settings(timeout=asked.timeout, lock_timeout=asked.lock_timeout)
            report = carry_out(partial(planning.plan, root), settings, observe=tally.count)
    report = report._replace(outcomes=(*before, *report.outcomes))
    if not asked.persist:
        return show_report(session, planning.host, report)
    from vfioctl.cli.persisting import store_and_show

    return store_and_show(session, root, planning, report)
