"""What this host cannot do at all, and what could not be found out."""

from __future__ import annotations

from vfioctl.model.verdict import reasons_against
from vfioctl.plan.findings import refuse
from vfioctl.plan.plan import Finding, Severity
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.plan.findings import Case

_HINTS = {
    "bridge": "name a device behind it: vfioctl scan under:{address}",
    "no-iommu": "enable it in the firmware and, on Intel, boot with intel_iommu=on; see: vfioctl groups",
    "no-group": "see: vfioctl show {address}",
    "vmd": "name the VMD controller above it; see: vfioctl show {address}",
    "dead": "a power cycle of the machine may bring it back",
    "denylist": "if you must: load vfio-pci with disable_denylist=1",
    "vfs": "disable its virtual functions first: echo 0 > /sys/bus/pci/devices/{address}/sriov_numvfs",
}
_BRIDGE_RELEASE = "bridge"


def cannot(case: Case) -> Iterator[Finding]:
    """Refuse what no option makes possible (K13-K16, K24, K40, K51)."""
    if case.for_vfio:
        for device in case.moving:
            yield from _against(case, device)
        return
    for device in case.losing:
        # A driver that leaves while virtual functions stand strands them or destroys them (K40, K59).
        yield from (finding for finding in _against(case, device) if finding.check == "vfs")


def _against(case: Case, device: PciDevice) -> Iterator[Finding]:
    for reason in reasons_against(case.host, device):
        if reason.check == _BRIDGE_RELEASE and device.address not in case.request.devices:
            continue
        check = "vfs" if reason.check == "vfs" else "host-cannot"
        hint = _HINTS.get(reason.check, "see: vfioctl show {address}").format(address=device.address)
        yield refuse(check, device, reason.text, hint)


def unknown(case: Case) -> Iterator[Finding]:
    """Warn of what could not be found out about devices that would leave the host."""
    if not case.moves:
        return
    hint = "run as root to see more"
    for text in case.situation.unknown:
        yield Finding("unknown", Severity.WARN, None, text, hint)
    moving = {move.address for move in case.moves}
    for unread in case.host.unread:
        if unread.address is None or unread.address in moving:
            text = f"{unread.path} could not be read: {unread.reason}"
            yield Finding("unknown", Severity.WARN, unread.address, text, hint)
