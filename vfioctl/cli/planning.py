"""From a host as it is now to a plan: read, look the devices up, decide."""

from __future__ import annotations

import os

from vfioctl.cli.selection import named
from vfioctl.errors import NotPermittedError
from vfioctl.plan.plan import Finding, Request, Severity
from vfioctl.sysfs.drivers import read_drivers
from vfioctl.sysfs.near import read_near
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.situation import RECORDED, read_situation
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.changing import Asked, Decide
    from vfioctl.model.address import PciAddress
    from vfioctl.model.drivers import DriverCatalog
    from vfioctl.model.host import Host
    from vfioctl.model.situation import Situation
    from vfioctl.plan.plan import Plan
    from vfioctl.sysfs.root import HostRoot


class Planning:
    """Plans what was asked for, as often as wanted, each time for the host as it is then."""

    host: Host
    """The host that the last plan was made for."""

    def __init__(self, asked: Asked, decide: Decide) -> None:
        """Keep what was asked for, and the function that decides."""
        self.asked = asked
        self.decide = decide
        self._catalog: DriverCatalog | None = None

    def plan(self, root: HostRoot, host: Host | None = None) -> Plan:
        """Read the host, unless it was read just now, and plan for it.

        Raises:
            NotFoundError: a selector matches nothing.
            UsageError: a selector is not exact enough to change something.

        """
        host = self.host = host or self._read(root)
        request = self._request(named(host, self.asked.selectors, self.asked.command, every=self.asked.every))
        if self._catalog is None:
            # Modules do not come and go: what takes long to read is read once.
            self._catalog = read_drivers(root)
        around = _with_records(root, read_situation(root, host, (), _environment(root)))
        plan = self.decide(host, self._catalog, around, request)
        if root.live:
            # How wide the request is shows in the plan; whose disks to try is known only then.
            from vfioctl.sysfs.exclusive import read_exclusive

            exclusive, doubts = read_exclusive(host, plan.scope)
            if exclusive or doubts:
                around = around._replace(exclusive=exclusive, unknown=(*around.unknown, *doubts))
                plan = self.decide(host, self._catalog, around, request)
        return _as_for_real(root, plan) if self.asked.dry_run else plan

    def _read(self, root: HostRoot) -> Host:
        """Read what the change concerns, where that is known before the host is."""
        terms = [selector.address for selector in self.asked.selectors]
        # What is stored speaks of other devices too.
        if self.asked.persist or None in terms:
            return read_host(root)
        near = read_near(
            root, lambda address: any(term is not None and term.means(address) for term in terms)
        )
        return near or read_host(root)

    def _request(self, devices: tuple[PciAddress, ...]) -> Request:
        asked = self.asked
        return Request(
            devices=devices,
            driver=asked.driver,
            device_only=asked.device_only,
            release_shpchp=asked.release_shpchp,
            uid=asked.owner.uid if asked.owner else None,
            gid=asked.owner.gid if asked.owner else None,
            mode=asked.mode,
            force=frozenset(asked.force),
        )


def _environment(root: HostRoot) -> dict[str, str]:
    """Return the surroundings of the session, which mean something on the running system only."""
    return dict(os.environ) if root.live else {}


def _with_records(root: HostRoot, around: Situation) -> Situation:
    """Add where devices came from; of a recording it is known beforehand that it does not tell everything."""
    if not root.live:
        return around._replace(unknown=())
    from vfioctl.apply.records import read_records
    from vfioctl.apply.transaction import STATE

    try:
        return around._replace(records=read_records(STATE, around.boot_id))
    except NotPermittedError as problem:
        return around._replace(unknown=(*around.unknown, problem.message))


def _as_for_real(root: HostRoot, plan: Plan) -> Plan:
    """Add what only a real run meets: a journal that somebody left, and what no recording tells."""
    if not root.live:
        hint = "a dry run on the host itself tells"
        untold = Finding("unknown", Severity.NOTE, None, RECORDED, hint)
        return plan._replace(findings=(*plan.findings, untold)) if plan.moves else plan
    finding = _unfinished_business()
    return plan if finding is None else plan._replace(findings=(finding, *plan.findings))


def _unfinished_business() -> Finding | None:
    """Return what the real run would meet of another one: one at work, or the journal that one left."""
    from vfioctl.apply.journal import read_unfinished
    from vfioctl.apply.lock import at_work
    from vfioctl.apply.transaction import STATE

    try:
        unfinished = read_unfinished(STATE)
    except NotPermittedError:
        return None  # That the folder is hidden is among the findings already.
    if worker := at_work(STATE):
        message = f"another vfioctl is at work ({worker}): things may stand otherwise when it has ended"
        return Finding("journal", Severity.WARN, None, message, "look again then")
    if unfinished is None:
        return None
    return Finding(
        "journal",
        Severity.REFUSE,
        None,
        f"a {unfinished.command} of {unfinished.started} (pid {unfinished.pid}) did not end by itself",
        "finish or undo it first: vfioctl recover",
    )
