"""What this host cannot do at all, and what could not be found out."""

from __future__ import annotations

from vfioctl.model.verdict import reasons_against
from vfioctl.plan.findings import refuse
from vfioctl.plan.plan import Finding, Severity
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.verdict import Reason
    from vfioctl.plan.findings import Case
    from vfioctl.plan.plan import Request

_HINTS = {
    "bridge": "name a device behind it: vfioctl scan under:{address}",
    "board": "name another device: vfioctl scan",
    "no-iommu": "switch it on in the firmware (VT-d, AMD-Vi) and, on Intel, boot with intel_iommu=on",
    "no-group": "see what is known of it: vfioctl show {address}",
    "rmrr": "see which ranges: cat /sys/kernel/iommu_groups/{group}/reserved_regions",
    "vmd": "name the VMD controller, or switch VMD off in the firmware: vfioctl groups group:{group}",
    "dead": "power the machine off and on; a reboot may not be enough",
    "denylist": "if you must: modprobe -r vfio_pci; modprobe vfio_pci disable_denylist=1",
    "vfs": "remove them first: vfioctl sriov off {address}",
}
_OF_ANY_DRIVER = frozenset({"bridge", "board", "dead", "vfs"})
# A driver that leaves while virtual functions stand strands them or takes them with it (K40, K59).
_OF_LEAVING = frozenset({"vfs"})


def barriers(host: Host, device: PciDevice, command: str, request: Request) -> tuple[Reason, ...]:
    """Return the reasons why a device cannot be moved that no option lifts (K13-K16, K24, K40, K46, K51)."""
    reasons = reasons_against(host, device)
    if command == "bind" and request.for_vfio:
        return reasons
    matter = _OF_ANY_DRIVER if command == "bind" else _OF_LEAVING
    return tuple(reason for reason in reasons if reason.check in matter)


def cannot(case: Case) -> Iterator[Finding]:
    """Refuse what no option makes possible; the devices that this is about have no steps."""
    for device in case.barred:
        for reason in barriers(case.host, device, case.command, case.request):
            check = "vfs" if reason.check == "vfs" else "host-cannot"
            hint = _HINTS[reason.check].format(address=device.address, group=device.iommu_group)
            yield refuse(check, device, reason.text, hint)


def unknown(case: Case) -> Iterator[Finding]:
    """Warn of what could not be found out about devices that would move."""
    if not case.moves:
        return
    for text in case.situation.unknown:
        yield Finding("unknown", Severity.WARN, None, text, "look yourself before you go on")
    moving = {move.address for move in case.moves}
    for unread in case.host.unread:
        if unread.address is None or unread.address in moving:
            text = f"{unread.path} could not be read: {unread.reason}"
            yield Finding("unknown", Severity.WARN, unread.address, text, "run it as root to know more")
