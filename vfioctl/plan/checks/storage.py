"""What the host keeps on the disks behind a device: the kernel protects none of it (K36, K58)."""

from __future__ import annotations

from vfioctl.model.usage import UsageKind
from vfioctl.plan.findings import refuse
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.usage import Usage
    from vfioctl.plan.findings import Case
    from vfioctl.plan.plan import Finding

_KINDS = frozenset({UsageKind.MOUNT, UsageKind.SWAP, UsageKind.HOLDER, UsageKind.MEMBER})


def storage(case: Case) -> Iterator[Finding]:
    """Refuse while a disk is mounted, swapped to, part of something bigger, or open for something alone."""
    losing = case.losing
    for device in losing:
        for usage in device.usage:
            if usage.kind in _KINDS:
                check = "storage-root" if usage.critical else "storage"
                yield refuse(check, device, usage.detail, _hint(usage))
    known = {device.address: device for device in losing}
    for disk in case.situation.exclusive:
        if disk.address in known:
            text = f"something in the kernel has {disk.disk} open for itself alone"
            hint = f"find out what: lsblk /dev/{disk.disk}; ls /sys/class/block/{disk.disk}/holders"
            yield refuse("storage", known[disk.address], text, hint)


def _hint(usage: Usage) -> str:
    points, node = _points(usage), f"/dev/{usage.subject}"
    if "/" in points or (usage.kind is UsageKind.MEMBER and usage.critical):
        return "the host runs from it: choose another device"
    match usage.kind:
        case UsageKind.SWAP:
            return f"stop swapping to it: swapoff {node}"
        case UsageKind.MOUNT:
            return f"unmount it: umount {' '.join(points) or node}"
        case UsageKind.MEMBER if "ZFS pool " in usage.detail:
            return f"export the pool: zpool export {usage.detail.rpartition('ZFS pool ')[2]}"
        case UsageKind.MEMBER:
            return f"unmount the file system it is part of: findmnt --source {node}"
        case _:
            return f"stop what is made of it (vgchange -an, mdadm --stop, cryptsetup close): lsblk {node}"


def _points(usage: Usage) -> list[str]:
    """Return where it is mounted, as far as the sentence says it."""
    named = usage.detail.partition(" is mounted on ")[2]
    return [point for point in named.partition(" and ")[0].split(", ") if point.startswith("/")]
