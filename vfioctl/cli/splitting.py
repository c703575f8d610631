"""The way from a number of virtual functions to a report: plan, carry out, and bind the new ones."""

from __future__ import annotations

import os

from vfioctl.cli.changing import check_may_change
from vfioctl.lean import partial
from vfioctl.model.device import PhysicalFunction
from vfioctl.plan.outcome import Report, Result
from vfioctl.plan.plan import Plan, Request
from vfioctl.plan.sriov import plan_sriov, vfs_of
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.changing import Asked
    from vfioctl.cli.persisting import Keep
    from vfioctl.cli.session import Session
    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host
    from vfioctl.sysfs.root import HostRoot


def split(session: Session, asked: Asked, number: int, *, bind: bool) -> int:
    """Bring devices to a number of virtual functions; print what came of it and return the exit code.

    Raises:
        VfioctlError: there was no plan to begin with, or the lock was not to be had.

    """
    check_may_change(session, asked.command, dry_run=asked.dry_run)
    planning = _Planning(asked, number)
    keeps = _keeps(session, asked, number, bind=bind) if asked.persist else None
    if asked.dry_run:
        return _show_dry_run(session, planning, keeps, binds=bind)
    report = _carry_out(session, planning)
    if report.result in {Result.DONE, Result.ALREADY}:
        return _show_done(session, planning, report, keeps, bind=bind)
    from vfioctl.cli.reporting import show_failure

    return show_failure(session, planning.host, report)


def _keeps(session: Session, asked: Asked, number: int, *, bind: bool) -> Keep:
    """Return what says what is stored, once it is known that this host makes it at boot."""
    from vfioctl.cli.persisting import check_writable
    from vfioctl.cli.restoring import check_may_restore, keep_splits

    with session.opened() as root:
        check_may_restore(root, asked.command)
        if not asked.dry_run:
            check_writable(root)
    return keep_splits(number, bind=bind)


class _Planning:
    """Plans what was asked for, each time for the host as it is then."""

    host: Host

    def __init__(self, asked: Asked, number: int) -> None:
        self.asked = asked
        self._number = number

    def plan(self, root: HostRoot) -> Plan:
        """Read the host and plan for it."""
        from vfioctl.cli.selection import named
        from vfioctl.sysfs.reader import read_host
        from vfioctl.sysfs.situation import read_situation
        from vfioctl.sysfs.sriov import read_splittings

        host = self.host = read_host(root)
        devices = named(host, self.asked.selectors, self.asked.command, every=self.asked.every)
        environ = dict(os.environ) if root.live else {}
        situation = read_situation(root, host, _virtual_functions(host, devices), environ)
        if not root.live:
            situation = situation._replace(unknown=())
        request = Request(devices, force=frozenset(self.asked.force))
        return plan_sriov(host, read_splittings(root, host), situation, request, self._number)


def _virtual_functions(host: Host, devices: tuple[PciAddress, ...]) -> tuple[PciAddress, ...]:
    found = (host.by_address[address].sriov for address in devices)
    return tuple(vf for one in found if isinstance(one, PhysicalFunction) for vf in one.virtual_functions)


def _show_dry_run(session: Session, planning: _Planning, keeps: Keep | None, *, binds: bool) -> int:
    from vfioctl.cli.apart import show_plan

    with session.opened() as root:
        plan = planning.plan(root)
        kept = keeps(root, planning.host, plan) if keeps and not plan.refusals else None
    return show_plan(session, plan, kept, binds=binds)


def _carry_out(session: Session, planning: _Planning) -> Report:
    from vfioctl.apply.transaction import Settings, carry_out
    from vfioctl.cli.progress import progress
    from vfioctl.cli.reporting import Tally
    from vfioctl.sysfs.root import HostRoot

    asked, root = planning.asked, HostRoot()
    tally = Tally(asked.command)

    def plan_now() -> Plan:
        plan = planning.plan(root)
        tally.expect(plan)
        return plan

    settings = Settings(timeout=asked.timeout, lock_timeout=asked.lock_timeout)
    with progress(tally.text, quiet=session.verbosity < 0):
        return carry_out(plan_now, settings, observe=tally.count)


def _show_done(
    session: Session, planning: _Planning, report: Report, keeps: Keep | None, *, bind: bool
) -> int:
    from vfioctl.cli.apart import show_stored
    from vfioctl.cli.reporting import mention
    from vfioctl.sysfs.root import HostRoot

    mention(session, report.plan)
    if report.plan.command == "sriov off":
        from vfioctl.cli.restoring import mention_stored

        mention_stored(session, report.plan.asked)
    if bind:
        if report.outcomes:
            session.note(f"virtual functions were made of {' '.join(map(str, report.plan.asked))}")
        from vfioctl.cli.changing import change
        from vfioctl.model.selector import Selector
        from vfioctl.plan.bind import plan_bind

        chosen = tuple(Selector.parse(f"vfs-of:{address}") for address in report.plan.asked)
        asked = planning.asked._replace(command="bind", selectors=chosen, every=True)
        return change(session, asked, plan_bind, before=report.outcomes, keeps=_of(keeps, report.plan))
    return show_stored(
        session,
        report,
        partial(_show_devices, session, report),
        None if keeps is None else partial(keeps, HostRoot(), planning.host, report.plan),
        planning.asked.lock_timeout,
    )


def _of(keeps: Keep | None, split: Plan) -> Keep | None:
    """Store what was split, where what is bound then is asked about."""
    return None if keeps is None else lambda root, host, _bound: keeps(root, host, split)


def _show_devices(session: Session, report: Report) -> None:
    """Show the devices as they are now, and what to type next."""
    from vfioctl.render.fields import field
    from vfioctl.render.sriov import sriov_lines
    from vfioctl.sysfs.reader import read_host
    from vfioctl.sysfs.root import HostRoot
    from vfioctl.sysfs.sriov import read_splittings

    root = HostRoot()
    host = read_host(root)
    devices = [host.by_address[address] for address in report.plan.asked if address in host.by_address]
    splittings, width = read_splittings(root, host), session.width
    session.print_lines(sriov_lines(host, devices, splittings, session.names(), width=width))
    if report.result is Result.ALREADY:
        session.print_lines([[("nothing to do", "good"), (": it was so already", "")]])
    elif report.plan.command == "sriov set":
        commands = [f"vfioctl bind vfs-of:{device.address}#0-{vfs_of(device) - 1}" for device in devices]
        session.print_lines(field("next", commands, width=None, indent=0, style="command"))
