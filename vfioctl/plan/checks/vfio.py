"""Who has the devices or their siblings open, and whether the groups can go to VFIO."""

from __future__ import annotations

from vfioctl.model.usage import UsageKind
from vfioctl.model.viability import assess
from vfioctl.plan.findings import refuse
from vfioctl.plan.foresee import after
from vfioctl.plan.plan import Finding, Severity
from vfioctl.plan.scope import groups_of
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.model.group import IommuGroup
    from vfioctl.model.viability import Blocker
    from vfioctl.plan.findings import Case

RELEASABLE = "shpchp"
_HOLDING = frozenset({UsageKind.VM, UsageKind.PROCESS})


def held(case: Case) -> Iterator[Finding]:
    """Refuse while somebody has the device or a sibling of its group open (K21, K33, K57)."""
    seen = set()
    for device in case.moving:
        group = case.host.group_of(device)
        members = case.host.members(group) if group is not None else (device,)
        if device.unbinding:
            yield refuse(
                "vm",
                device,
                "an unbind of it is blocked: " + ("; ".join(_holders(device)) or "its holder is unknown"),
                "end the program that holds it; then look again: vfioctl scan",
            )
        for member in members:
            for usage in member.usage:
                if usage.kind not in _HOLDING or (group, usage) in seen:
                    continue
                seen.add((group, usage))
                whose = "" if member is device else f" (with its sibling {member.address})"
                yield refuse("vm", device, usage.detail + whose, _how_to_end(usage.kind, usage.subject))


def _holders(device: PciDevice) -> Iterator[str]:
    return (usage.detail for usage in device.usage if usage.kind in _HOLDING)


def _how_to_end(kind: UsageKind, subject: str) -> str:
    if kind is UsageKind.VM:
        return "shut the virtual machine down, or detach the device from it; then try again"
    return f"end {subject}, then try again: the kernel would wait for it without end"


def mediated(case: Case) -> Iterator[Finding]:
    """Refuse to take the driver that mediated devices live on."""
    for device in case.losing:
        for usage in device.usage:
            if usage.kind is UsageKind.MDEV:
                hint = f"remove it first: echo 1 > /sys/bus/mdev/devices/{usage.subject}/remove"
                yield refuse("mdev", device, usage.detail, hint)


def viability(case: Case) -> Iterator[Finding]:
    """Say whether the groups would be viable; a bind that does not make them so is refused (K18-K20)."""
    if not case.for_vfio:
        return
    then = after(case.host, case.moves)
    for number in groups_of(case.host, (move.address for move in case.moves)):
        group = then.by_group.get(number)
        if group is None:
            continue
        judged = assess(then, group)
        if judged.viable is True:
            continue
        device = next(one for one in case.moving if one.iommu_group == number)
        if judged.viable is None:
            yield from _doubts(device, group, judged.blockers)
        else:
            yield from _not_viable(case, device, group, judged.blockers)


def _doubts(device: PciDevice, group: IommuGroup, blockers: tuple[Blocker, ...]) -> Iterator[Finding]:
    for blocker in blockers:
        text = f"whether group {group.id} will be viable is unknown: {blocker.name}: {blocker.reason}"
        hint = f"look afterwards: vfioctl groups group:{group.id}"
        yield Finding("viability", Severity.WARN, device.address, text, hint)


def _not_viable(
    case: Case, device: PciDevice, group: IommuGroup, blockers: tuple[Blocker, ...]
) -> Iterator[Finding]:
    only = case.request.device_only
    for blocker in blockers:
        text = f"group {group.id} will not be viable: {blocker.name}: {blocker.reason}"
        releasable = blocker.driver == RELEASABLE and _is_bridge(case, blocker)
        if only:
            hint = f"no virtual machine can use it like this; see: vfioctl groups group:{group.id}"
            yield Finding("viability", Severity.WARN, device.address, text, hint)
        elif releasable:
            hint = f"take it off as well: vfioctl bind --release-shpchp {case.request.devices[0]}"
            yield refuse(RELEASABLE, device, text, hint)
        else:
            hint = f"see: vfioctl groups group:{group.id}; to bind it all the same: --device-only"
            yield refuse("host-cannot", device, text, hint)


def _is_bridge(case: Case, blocker: Blocker) -> bool:
    return any(str(device.address) == blocker.name and device.is_bridge for device in case.host.devices)
