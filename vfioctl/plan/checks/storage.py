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
    """Refuse while a disk is mounted, swapped to, or part of something bigger."""
    explained = set()
    for device in case.losing:
        for usage in device.usage:
            if usage.kind not in _KINDS:
                continue
            explained.add(device.address)
            critical = usage.critical or usage.kind is UsageKind.SWAP
            yield refuse("storage-root" if critical else "storage", device, usage.detail, _hint(usage))
    losing = {device.address: device for device in case.losing}
    for disk in case.situation.exclusive:
        if disk.address in losing and disk.address not in explained:
            text = f"something in the kernel has {disk.disk} open for itself alone"
            hint = f"find out what: lsblk /dev/{disk.disk}; ls /sys/class/block/{disk.disk}/holders"
            yield refuse("storage", losing[disk.address], text, hint)


def _hint(usage: Usage) -> str:
    if usage.critical:
        return "the host would stop without it: choose another device"
    match usage.kind:
        case UsageKind.MOUNT:
            return f"unmount it first: umount /dev/{usage.subject}"
        case UsageKind.SWAP:
            return f"stop swapping to it first: swapoff /dev/{usage.subject}"
        case _:
            return f"take it out of use first; see: lsblk /dev/{usage.subject}"
