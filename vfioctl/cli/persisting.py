"""``--persist``: what a command did is stored as well, so that it is so after a reboot."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from vfioctl.errors import HostCannotError, NotPermittedError, VfioctlError
from vfioctl.plan.keeping import keep
from vfioctl.plan.outcome import Result
from vfioctl.sysfs.persisted import read_persisted
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from vfioctl.cli.planning import Planning
    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
    from vfioctl.plan.keeping import Kept
    from vfioctl.plan.outcome import Report
    from vfioctl.plan.persist import FileChange
    from vfioctl.plan.plan import Plan
    from vfioctl.sysfs.root import HostRoot

    Keep: TypeAlias = Callable[[HostRoot, Host, Plan], Kept]
    """Says what is to be stored of a plan that was made for a host."""


_UDEV = ("/run/udev", "/usr/lib/udev/rules.d", "/lib/udev/rules.d")
"""One of these is there where udev is."""


def check_may_store(root: HostRoot) -> None:
    """Refuse before anything is bound where no rule would be read at boot, or none can be written.

    Raises:
        HostCannotError: this host has no udev.
        NotPermittedError: /etc is read-only.

    """
    if not any(Path(root.local(path)).exists() for path in _UDEV):
        raise HostCannotError(
            "bind --persist takes udev, which sets at boot who gets a device; there is none here",
            hint="leave --persist away, and call vfioctl bind ... from what this host runs at boot",
        )
    check_writable(root)


def check_writable(root: HostRoot) -> None:
    """Refuse before anything is done where what was done cannot be stored.

    Raises:
        NotPermittedError: /etc is read-only.

    """
    place = root.local("/etc")
    try:
        read_only = bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except OSError as error:
        read_only = error.errno == errno.EROFS
    if read_only:
        raise NotPermittedError(
            f"{place} is read-only, so nothing can be stored for the next boot; nothing was changed",
            hint="make it writable (mount -o remount,rw /), or leave --persist away; where the system is an"
            " image, put what --dry-run shows into that",
        )


def planned(root: HostRoot, host: Host, plan: Plan) -> Kept:
    """Return what would be stored of a plan that moves bindings."""
    return keep(host, read_persisted(root), plan)


def store_and_show(
    session: Session, root: HostRoot, planning: Planning, report: Report, keeps: Keep = planned
) -> int:
    """Store what was done, if it was; print what became of both, and return the exit code."""
    from vfioctl.cli.reporting import show_report

    host = planning.host
    if report.result not in {Result.DONE, Result.ALREADY}:
        return show_report(session, host, report)
    try:
        kept = store(root, lambda: keeps(root, host, report.plan), planning.asked.lock_timeout)
    except VfioctlError as problem:
        show_report(session, host, report)
        return complain_of_storing(problem)
    return show_report(session, host, report, kept)


def complain_of_storing(problem: VfioctlError) -> int:
    """Say that what was done is so until the next boot only, and return the exit code."""
    from vfioctl.cli.reporting import complain

    problem.message = f"done for this boot, but not stored: {problem.message}"
    complain(problem)
    return problem.exit_code


def store(root: HostRoot, keeps: Callable[[], Kept], lock_timeout: float) -> Kept:
    """Write the files that are to outlast a reboot, or have mdevctl do so: all of it, or none.

    Raises:
        VfioctlError: the lock was not to be had, a file cannot be written, or mdevctl said no.

    """
    from vfioctl.apply.files import change_files
    from vfioctl.apply.mdevctl import define
    from vfioctl.apply.transaction import STATE, Settings

    kept: Kept | None = None

    def changes() -> tuple[FileChange, ...]:
        nonlocal kept
        # Under the lock: another one may have stored something since.
        kept = keeps()
        return kept.changes

    change_files(changes, Settings(lock_timeout=lock_timeout, state=STATE), root)
    assert kept is not None  # noqa: S101 - it was just made
    define(kept.defines)
    return kept
