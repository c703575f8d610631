"""Ask whether something has a disk open for itself alone: what procfs and sysfs do not show.

A file system that is mounted in another mount namespace only, an in-kernel target, a swap that this program
cannot see: all of them claim their disk. To open it exclusively for a moment is the one way to find out.
"""

from __future__ import annotations

import errno
import os
import stat

from vfioctl.model.situation import ExclusiveDisk
from vfioctl.model.usage import UsageKind
from vfioctl.sysfs import root as paths
from vfioctl.sysfs.denied import BLOCKED_REASON, reason_of
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host

_STORAGE = frozenset({UsageKind.MOUNT, UsageKind.SWAP, UsageKind.HOLDER, UsageKind.MEMBER})
_CLAIM = os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC
# No medium, or gone: there is nothing that anybody could have open.
_NOTHING_THERE = frozenset({0, errno.ENOMEDIUM, errno.ENXIO, errno.ENODEV})


def read_exclusive(
    host: Host, devices: Iterable[PciAddress]
) -> tuple[tuple[ExclusiveDisk, ...], tuple[str, ...]]:
    """Return the disks and partitions that something unknown has for itself, and what could not be found out.

    Of the running system only. What a use of the device explains already is not returned.
    """
    below = {
        address: host.by_address[address].block_devices for address in devices if address in host.by_address
    }
    disks = sorted({disk for found in below.values() for disk in found})
    if not disks:
        return (), ()
    from vfioctl.sysfs.disposable import gather

    # An open waits while the disk's driver recovers from an error.
    claims = dict(zip(disks, gather(disks, ask), strict=True))
    busy = [
        ExclusiveDisk(address, name)
        for address, found in below.items()
        for disk in found
        for name, number in claims[disk] or ()
        if number == errno.EBUSY and not _explained(host, address, {disk, name})
    ]
    return tuple(busy), tuple(_doubts(claims))


def _explained(host: Host, address: PciAddress, names: set[str]) -> bool:
    return any(usage.kind in _STORAGE and usage.subject in names for usage in host.by_address[address].usage)


def _doubts(claims: dict[str, list[tuple[str, int]] | None]) -> Iterable[str]:
    """Yield which disks could not be asked, by the reason."""
    reasons: dict[str, list[str]] = {}
    for disk, found in claims.items():
        if found is None:
            reasons.setdefault(BLOCKED_REASON, []).append(disk)
        for name, number in found or ():
            if number not in _NOTHING_THERE and number != errno.EBUSY:
                reason = reason_of(OSError(number, os.strerror(number))) or "there is no node of it in /dev"
                reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield f"it is not known whether something has {', '.join(names)} open for itself: {reason}"


def ask(disk: str) -> list[tuple[str, int]]:
    """Try to open a disk exclusively; where that is refused, say which partitions refuse it as well.

    Who has claimed a partition keeps others from claiming its disk, so most disks are asked once.
    """
    number = _claim(disk)
    if number != errno.EBUSY:
        return [(disk, number)]
    try:
        names = sorted(os.listdir(f"{paths.BLOCK}/{disk}"))
    except OSError:
        names = []
    parts = [name for name in names if name.startswith(disk) and _claim(name) == errno.EBUSY]
    return [(name, number) for name in parts or [disk]]


def _claim(name: str) -> int:
    """Open a block device exclusively for a moment; return the errno, or 0."""
    # What is an exclamation mark in sysfs is a folder in /dev: cciss!c0d0 is /dev/cciss/c0d0.
    path = f"{paths.NODES}/{name.replace('!', '/')}"
    try:
        if not stat.S_ISBLK(os.stat(path).st_mode):
            return errno.ENOENT
        os.close(os.open(path, _CLAIM))
    except OSError as error:
        return error.errno or errno.EIO
    return 0
