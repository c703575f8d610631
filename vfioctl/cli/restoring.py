"""What is made anew at every boot: stored by ``sriov set`` and ``mdev create``, made by ``persist apply``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vfioctl.errors import DriftError, HostCannotError
from vfioctl.model.persisted import Mediated
from vfioctl.plan.keeping import Kept
from vfioctl.plan.mdevctl import Definition
from vfioctl.plan.restore import made_changes, mediated_with, splits_with
from vfioctl.sysfs.persisted import read_persisted
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.cli.apart import Patience
    from vfioctl.cli.persisting import Keep
    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
    from vfioctl.model.persisted import Persisted, Split
    from vfioctl.plan.plan import Plan
    from vfioctl.sysfs.root import HostRoot

_SYSTEMD = ("/run/systemd/system", "/usr/lib/systemd/systemd", "/lib/systemd/systemd")
"""One of these is there where systemd starts what runs at boot."""
_UDEV_PATIENCE = 120.0
"""Seconds for udev to load the drivers of this host at boot."""
_WORST_FIRST = (8, 7, 1, 10, 9, 6, 5, 4, 3, 2)


def check_may_restore(root: HostRoot, command: str) -> None:
    """Refuse before anything is made where nothing would make it at boot.

    Raises:
        HostCannotError: this host has no systemd.

    """
    if root.live and not any(Path(root.local(path)).exists() for path in _SYSTEMD):
        raise HostCannotError(
            f"{command} --persist takes systemd, which starts what is made at boot; there is none here",
            hint=f"leave --persist away, and call vfioctl {command} ... from what this host runs at boot",
        )


def mention_stored(session: Session, names: Iterable[object]) -> None:
    """Say of what was removed that it will be made again, where that is stored."""
    with session.opened() as root:
        persisted = read_persisted(root)
    known = {str(one.uuid if isinstance(one, Mediated) else one.address) for one in persisted.made}
    stored = " ".join(name for name in map(str, names) if name in known)
    if stored:
        session.note(
            f"it is stored, and made again at the next boot; if not: vfioctl persist remove {stored}"
        )


def program() -> str:
    """Return how this program is called in full: a unit has no PATH and no virtual environment."""
    from shutil import which

    called = Path(sys.argv[0]).absolute()
    if called.name == "vfioctl" and os.access(called, os.X_OK):
        return _quoted(str(called))
    found = which("vfioctl")
    return _quoted(found) if found else f"{_quoted(sys.executable)} -m vfioctl"


def _quoted(path: str) -> str:
    """Quote a path as systemd reads it, which takes words apart at blanks."""
    return f'"{path}"' if " " in path else path


def keep_splits(number: int, *, bind: bool) -> Keep:
    """Return what says which files store so many virtual functions of the devices of a plan."""

    def keeps(root: HostRoot, host: Host, plan: Plan) -> Kept:
        persisted = read_persisted(root)
        splits = splits_with(host, persisted, plan.asked, number, bind=bind)
        return Kept(made_changes(persisted, splits, persisted.mediated, program()), (), ())

    return keeps


def keep_mediated(wanted: str, uuids: Sequence[str], *, by_mdevctl: bool) -> Keep:
    """Return what says how these mediated devices of a type are stored."""

    def keeps(root: HostRoot, host: Host, plan: Plan) -> Kept:
        from vfioctl.plan.mdev import kind_of

        persisted, (parent,) = read_persisted(root), plan.asked
        kind = kind_of(host.by_address[parent], wanted)
        if by_mdevctl:
            found = (Definition(parent, kind.id, uuid) for uuid in uuids)
            return Kept((), (), (), tuple(one for one in found if not Path(root.local(one.path)).exists()))
        mediated = mediated_with(host, persisted, parent, kind.id, uuids)
        return Kept(made_changes(persisted, persisted.splits, mediated, program()), (), ())

    return keeps


def apply(session: Session, patience: Patience, *, dry_run: bool) -> int:
    """Make everything that is stored and not there, each of it by itself; return the worst exit code."""
    from vfioctl.apply.kernel import settle
    from vfioctl.cli.changing import check_may_change

    check_may_change(session, "persist apply", dry_run=dry_run)
    if not dry_run:
        settle(_UDEV_PATIENCE)
    with session.opened() as root:
        persisted = read_persisted(root)
    if not persisted.made:
        session.note("nothing is stored that is to be made: vfioctl persist list")
        if session.form == "json":
            from vfioctl.render.persist import changes_document

            session.print_document(changes_document((), dry_run=dry_run))
    codes = set(_apply_all(session, persisted, patience, dry_run=dry_run))
    return next((code for code in _WORST_FIRST if code in codes), 0)


def _apply_all(session: Session, persisted: Persisted, patience: Patience, *, dry_run: bool) -> Iterator[int]:
    from vfioctl.cli.reporting import complain
    from vfioctl.errors import VfioctlError
    from vfioctl.plan.unmade import parent_drift
    from vfioctl.sysfs.reader import read_host

    for one in persisted.made:
        with session.opened() as root:
            host = read_host(root)
        wrong = parent_drift(host, one)
        if wrong is not None:
            complain(DriftError(wrong.message, hint=wrong.hint))
            yield DriftError.exit_code
            continue
        try:
            yield _make(session, one, patience, dry_run=dry_run)
        except VfioctlError as problem:
            complain(problem)
            yield problem.exit_code


def _make(session: Session, one: Split | Mediated, patience: Patience, *, dry_run: bool) -> int:
    from vfioctl.model.persisted import Split
    from vfioctl.model.selector import Selector

    if isinstance(one, Split):
        from vfioctl.cli.changing import Asked
        from vfioctl.cli.splitting import split

        chosen = (Selector.parse(str(one.address)),)
        asked = Asked(
            command="sriov set",
            selectors=chosen,
            every=False,
            driver=None,
            device_only=False,
            force=(),
            timeout=patience.timeout,
            lock_timeout=patience.lock_timeout,
            dry_run=dry_run,
        )
        return split(session, asked, one.number, bind=one.bind)
    from vfioctl.cli.apart import carry_out_apart
    from vfioctl.plan.mdev import plan_creation
    from vfioctl.plan.plan import Request

    def plan(host: Host) -> Plan:
        return plan_creation(host, Request((one.address,)), one.type_id, (one.uuid,))

    return carry_out_apart(session, "mdev create", plan, patience, dry_run=dry_run)
