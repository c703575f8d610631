"""Whether a group can be given to VFIO: as it stands, and after binding what can be bound.

Two rules, told apart by the kernel's release (K18, K19):

* since 5.19, a driver that does not manage DMA itself takes the whole group for the kernel: only
  ``pcieport``, ``pci-stub`` and the VFIO drivers do not. ``shpchp`` on a bridge does.
* before 5.19, every device with a bridge header was accepted, whatever its driver; of the others,
  those on ``pci-stub`` or a VFIO driver.

A member without a driver never stands in the way.
"""

from __future__ import annotations

from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.value import NamedTuple
from vfioctl.model.verdict import reasons_against
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.group import IommuGroup, OtherMember
    from vfioctl.model.host import Host
    from vfioctl.model.usage import Usage
    from vfioctl.model.verdict import Reason

RELEASABLE = "shpchp"
"""The driver of a bridge that can be taken from it, so that its group becomes viable (K19)."""
_DMA_MANAGED = frozenset({"pcieport", "pci-stub"})
_DMA_MANAGED_ELSEWHERE = frozenset({"vfio-platform", "vfio-amba", "vfio-fsl-mc", "vfio-cdx"})


class Blocker(NamedTuple):
    """A member that keeps the group from VFIO, or may do so where viability is unknown, and why."""

    name: str
    """The member's address, or its name where it is no PCI function."""
    driver: str | None
    reason: str


class Loss(NamedTuple):
    """Something the host would lose by giving a device away."""

    address: PciAddress
    usage: Usage


class Viability(NamedTuple):
    """A group's state, what to bind, and what that would change."""

    viable: bool | None
    """None when a member could not be read, is still being unbound, or the kernel's release would decide."""
    blockers: tuple[Blocker, ...]
    bind: tuple[PciAddress, ...]
    """Members that can be bound and are not yet on a VFIO driver."""
    viable_after_bind: bool | None
    blockers_after_bind: tuple[Blocker, ...]
    losses: tuple[Loss, ...]


class _Doubt(NamedTuple):
    """A blocker, and whether it is one for certain."""

    blocker: Blocker
    certain: bool


def assess(host: Host, group: IommuGroup) -> Viability:
    """Judge a group of a host."""
    members = host.members(group)
    against = {member.address: reasons_against(host, member) for member in members}
    bind = tuple(
        member.address
        for member in members
        # Writing to "bind" while an unbind of the same device is blocked hangs as well (K55).
        if not member.on_vfio and not member.unbinding and not against[member.address]
    )
    given = tuple(_given(members, frozenset(bind)))
    names = {str(member.address) for member in given}
    now = tuple(_doubts(host, group, against))
    then = tuple(doubt for doubt in now if doubt.blocker.name not in names)
    listed = bool(group.members or group.other_members)
    return Viability(
        viable=_verdict(now) if listed else None,
        blockers=tuple(doubt.blocker for doubt in now),
        bind=bind,
        viable_after_bind=_verdict(then) if listed else None,
        blockers_after_bind=tuple(doubt.blocker for doubt in then),
        losses=tuple(Loss(member.address, usage) for member in given for usage in member.usage),
    )


def _given(members: tuple[PciDevice, ...], bind: frozenset[PciAddress]) -> Iterator[PciDevice]:
    """Yield what the host no longer has after binding: what is bound, and all behind a bound VMD (K51)."""
    vmd = any(member.driver == "vmd" and member.address in bind for member in members)
    for member in members:
        if member.address in bind or (vmd and member.address.in_software_domain):
            yield member


def _verdict(doubts: tuple[_Doubt, ...]) -> bool | None:
    if any(doubt.certain for doubt in doubts):
        return False
    return None if doubts else True


def _doubts(
    host: Host, group: IommuGroup, against: Mapping[PciAddress, tuple[Reason, ...]]
) -> Iterator[_Doubt]:
    for address in group.members:
        member = host.by_address.get(address)
        if member is None:
            yield _Doubt(Blocker(str(address), None, "this member could not be read"), certain=False)
            continue
        doubt = _unknown(host, member) or _held(host, member, against[address])
        if doubt is not None:
            yield doubt
    mediated = {mdev.uuid for mdev in host.mdevs if group.other_members}
    for other in group.other_members:
        # A mediated device has a group of its own and reaches memory through its parent's driver only (K53).
        if other.driver not in {None, *_DMA_MANAGED_ELSEWHERE} and other.name not in mediated:
            yield _Doubt(Blocker(other.name, other.driver, _why_other(other)), certain=True)


def _unknown(host: Host, device: PciDevice) -> _Doubt | None:
    """Doubt a member whose missing driver means nothing."""
    if device.driver is not None:
        return None
    if device.unbinding:
        reason = "an unbind of it is blocked until the process that holds it lets go"
    elif (device.address, "driver") in host.unknown_fields:
        reason = "its driver could not be read"
    else:
        return None
    return _Doubt(Blocker(str(device.address), None, reason), certain=False)


def _held(host: Host, device: PciDevice, against: tuple[Reason, ...]) -> _Doubt | None:
    """Judge a member by its driver, and by what the firmware demands for it."""
    fixed = next((reason for reason in against if reason.check == "rmrr"), None)
    since, before = _blocks(device, modern=True), _blocks(device, modern=False)
    if host.kernel is not None:
        since = before = since if host.kernel.tracks_dma_ownership else before
    if since or before:
        reason = _why_blocking(device, against)
    elif fixed is not None:
        reason = fixed.text
    else:
        return None
    certain = since == before or fixed is not None
    if not certain:
        reason = f"if the kernel is {'5.19 or newer' if since else 'older than 5.19'}: {reason}"
    return _Doubt(Blocker(str(device.address), device.driver, reason), certain=certain)


def _blocks(device: PciDevice, *, modern: bool) -> bool:
    """Tell whether a member's driver keeps the group from VFIO since 5.19, or before (K18, K19)."""
    if device.driver is None or is_vfio_driver(device.driver):
        return False
    if modern:
        return device.driver not in _DMA_MANAGED
    # pcieport also drives event collectors, which have an endpoint's header.
    return not device.is_bridge and device.driver != "pci-stub"


def _why_blocking(device: PciDevice, against: tuple[Reason, ...]) -> str:
    """Say what the driver does, and what nothing but releasing it would change."""
    if device.is_bridge and device.driver == RELEASABLE:
        return "the hotplug driver shpchp on this bridge claims the group's DMA for the host"
    if device.is_bridge:
        return f"{device.driver} on this bridge claims the group's DMA for the host; bridges are never bound"
    reason = f"{device.driver} uses it for the host"
    return f"{reason}; it cannot be given away: {against[0].text}" if against else reason


def _why_other(other: OtherMember) -> str:
    return f"{other.driver} uses it for the host; vfioctl binds PCI functions only"
