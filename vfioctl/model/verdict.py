"""Whether a device can be given away at all, and every reason why not.

These are the reasons no option lifts: they lie in the device or in the host (K13-K16, K24, K46, K51).
What the host would merely lose is :class:`vfioctl.model.usage.Usage`, not a reason here.
"""

from __future__ import annotations

from vfioctl.lean import lru_cache
from vfioctl.model.device import PhysicalFunction
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host


class Reason(NamedTuple):
    """One reason why a device cannot be given away."""

    check: str
    text: str

    def __str__(self) -> str:
        """Say it as it is shown."""
        return self.text


# vfio-pci refuses these unless loaded with disable_denylist=1 (K16): QAT C3XXX, C62X and DH895XCC with
# their virtual functions, and DSA and IAX of Sapphire Rapids.
_DENYLIST = frozenset(
    (0x8086, device) for device in (0x19E2, 0x19E3, 0x37C8, 0x37C9, 0x0435, 0x0443, 0x0B25, 0x0CFE)
)

# Functions of the board itself, by class-code prefix: giving them away takes the host's own controls.
_BOARD_CLASSES = {
    0x0600: "it is a host bridge, part of the board",
    0x0601: "it is an ISA bridge, part of the board",
    0x0806: "it is an IOMMU",
    0x0807: "it is a root complex event collector, part of the board",
    0x0C05: "it is the SMBus controller, part of the board",
    0x0C07: "it is the IPMI interface, part of the board",
}
_INTEL_MANAGEMENT = (0x8086, 0x0780)

_BRIDGE = (Reason("bridge", "it is a bridge; bridges stay with the host"),)
_DEAD = Reason("dead", "it does not answer: its configuration space reads all ones")
_VMD = Reason(
    "vmd", "it sits behind Intel VMD and shares its requester id: give away the VMD controller itself"
)
_DENIED = Reason("denylist", "vfio-pci refuses this model unless loaded with disable_denylist=1")
_NONE = (None,) * 6
_FIXED = Reason("rmrr", "the firmware demands a fixed memory mapping for its group (RMRR)")


def reasons_against(host: Host, device: PciDevice) -> tuple[Reason, ...]:
    """Return every reason why a device of a host can never be given away; none means it can."""
    if device.is_bridge:
        return _BRIDGE
    board, denylist = _model_reasons(device.vendor_id, device.device_id, device.class_code)
    reasons = (
        board,
        _DEAD if device.alive is False else None,
        _VMD if device.address.in_software_domain else None,
        _group_reason(host, device),
        None if host.denylist_disabled else denylist,
        _vfs_reason(device.sriov) if isinstance(device.sriov, PhysicalFunction) else None,
    )
    return () if reasons == _NONE else tuple([reason for reason in reasons if reason is not None])


# A host with thousands of devices has few models.
@lru_cache(maxsize=256)
def _model_reasons(vendor_id: int, device_id: int, class_code: int) -> tuple[Reason | None, Reason | None]:
    """Return what speaks against a model: that it is part of the board, and that it is on the denylist."""
    board = _board_function(vendor_id, class_code)
    return Reason("board", board) if board else None, _DENIED if (vendor_id, device_id) in _DENYLIST else None


def _vfs_reason(role: PhysicalFunction) -> Reason | None:
    count = len(role.virtual_functions)
    what = "1 virtual function" if count == 1 else f"{count} virtual functions"
    return (
        Reason("vfs", f"it has {what} enabled; vfio-pci refuses it until there are none") if count else None
    )


def _board_function(vendor_id: int, class_code: int) -> str | None:
    family = class_code >> 8
    if (vendor_id, family) == _INTEL_MANAGEMENT:
        return "it is the Intel management engine's interface, part of the board"
    if family in _BOARD_CLASSES:
        return _BOARD_CLASSES[family]
    if family >> 8 == 0x06:  # noqa: PLR2004 - base class: bridge
        return "it is a bridge function, part of the board"
    return None


def _group_reason(host: Host, device: PciDevice) -> Reason | None:
    if device.iommu_group is None:
        if (device.address, "iommu_group") in host.unknown_fields:
            return Reason("no-group", "its IOMMU group is unknown: it could not be read")
        if host.iommu is None:
            return Reason("no-group", "its IOMMU group is unknown: this host's groups could not be read")
        if host.iommu:
            return Reason("no-group", "it has no IOMMU group: no IOMMU translates for it")
        return Reason("no-iommu", "this host has no IOMMU enabled")
    group = host.group_of(device)
    return _FIXED if group is not None and group.needs_identity_mapping else None
