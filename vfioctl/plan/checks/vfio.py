"""Who has the devices or their siblings open, and whether the groups can go to VFIO."""

from __future__ import annotations

from vfioctl.model.device import VirtualFunction
from vfioctl.model.usage import UsageKind
from vfioctl.model.viability import RELEASABLE, assess
from vfioctl.plan.findings import refuse
from vfioctl.plan.foresee import after
from vfioctl.plan.plan import Finding, Severity
from vfioctl.plan.scope import groups_of
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.model.group import IommuGroup
    from vfioctl.model.host import Host
    from vfioctl.model.usage import Usage
    from vfioctl.model.viability import Blocker
    from vfioctl.plan.findings import Case

_HOLDING = frozenset({UsageKind.VM, UsageKind.PROCESS})


def held(case: Case) -> Iterator[Finding]:
    """Refuse while somebody has the device or a sibling of its group open (K21, K33, K57).

    Nothing lifts this: an unbind frees the container of a last group also under a call that is at work in it,
    and the kernel may panic of that (docs/lab.md).
    """
    devices = tuple(dict.fromkeys((*case.barred, *case.moving)))
    for device in devices:
        holders = tuple(_holders(case.host, device))
        if device.unbinding:
            who = "; ".join(usage.detail for _, usage in holders) or "by whom is not known"
            hint = next((_how_to_end(usage) for _, usage in holders), "see who has it open: lsof /dev/vfio/*")
            yield refuse("vm", device, f"an unbind of it is blocked: {who}", f"{hint}; then: vfioctl scan")
            continue
        if device in case.barred:
            continue
        for member, usage in holders:
            whose = "" if member is device else f" (through its sibling {member.address})"
            yield refuse("vm", device, usage.detail + whose, _how_to_end(usage))


def _holders(host: Host, device: PciDevice) -> Iterator[tuple[PciDevice, Usage]]:
    """Yield who has a device open, or a sibling, and through which; each once."""
    group = host.group_of(device)
    siblings = host.members(group) if group is not None else ()
    seen = set()
    for member in (device, *(one for one in siblings if one is not device)):
        for usage in member.usage:
            if usage.kind in _HOLDING and usage not in seen:
                seen.add(usage)
                yield member, usage


def _how_to_end(usage: Usage) -> str:
    if usage.kind is UsageKind.VM:
        # The sentence is such as: VM win11 (qemu-system-x86, pid 2718) has /dev/vfio/2 open
        name = usage.detail.removeprefix("VM ").rpartition(f", {usage.subject})")[0].rpartition(" (")[0]
        return f"shut the virtual machine down: virsh shutdown {name or 'VM'}"
    return f"end the program: kill {usage.subject.removeprefix('pid ')}"


def mediated(case: Case) -> Iterator[Finding]:
    """Refuse to take the driver that mediated devices live on."""
    for device in case.losing:
        for usage in device.usage:
            if usage.kind is UsageKind.MDEV:
                hint = f"remove it first: echo 1 > /sys/bus/mdev/devices/{usage.subject}/remove"
                yield refuse("mdev", device, usage.detail, hint)


def token(case: Case) -> Iterator[Finding]:
    """Note the virtual functions that take a token to be opened, since VFIO has their parent (K39)."""
    for device in case.for_vfio:
        if not isinstance(device.sriov, VirtualFunction):
            continue
        parent = case.host.by_address.get(device.sriov.physical_function)
        if parent is not None and parent.on_vfio:
            text = (
                f"its physical function {parent.address} is on {parent.driver}: opening it takes a VF token"
            )
            hint = "give the same one to both: QEMU -device vfio-pci,vf-token=UUID"
            yield Finding("vfs", Severity.NOTE, device.address, text, hint)


def viability(case: Case) -> Iterator[Finding]:
    """Say whether the groups would be viable; a bind that does not make them so is refused (K18-K20)."""
    then = after(case.host, case.moves)
    for number in groups_of(case.host, (device.address for device in case.for_vfio)):
        group = then.by_group.get(number)
        if group is None:
            continue
        judged = assess(then, group)
        device = next(one for one in case.for_vfio if one.iommu_group == number)
        if judged.viable is None:
            yield from _doubts(device, group, judged.blockers)
        elif not judged.viable:
            yield from _not_viable(case, device, group, judged.blockers)
    if case.command == "unbind" and case.request.device_only:
        yield from _left_behind(case, then)


def _doubts(device: PciDevice, group: IommuGroup, blockers: tuple[Blocker, ...]) -> Iterator[Finding]:
    for blocker in blockers:
        text = f"whether group {group.id} will be viable is unknown: {blocker.name}: {blocker.reason}"
        hint = f"look afterwards: vfioctl groups group:{group.id}"
        yield Finding("viability", Severity.WARN, device.address, text, hint)


def _not_viable(
    case: Case, device: PciDevice, group: IommuGroup, blockers: tuple[Blocker, ...]
) -> Iterator[Finding]:
    # What is refused for a reason of its own needs no other.
    barred = {str(one.address) for one in case.barred}
    for blocker in blockers:
        text = f"group {group.id} will not be viable: {blocker.name}: {blocker.reason}"
        if case.request.device_only:
            hint = f"no virtual machine can use it like this; see: vfioctl groups group:{group.id}"
            yield Finding("viability", Severity.WARN, device.address, text, hint)
        elif blocker.driver == RELEASABLE and _is_bridge(case.host, blocker):
            hint = f"release the bridge as well: {case.asking('--release-shpchp')}"
            yield refuse(RELEASABLE, device, text, hint)
        elif blocker.name not in barred:
            hint = f"to bind it all the same, for no virtual machine: {case.asking('--device-only')}"
            yield refuse("host-cannot", device, text, hint)


def _is_bridge(host: Host, blocker: Blocker) -> bool:
    return any(device.is_bridge and str(device.address) == blocker.name for device in host.devices)


def _left_behind(case: Case, then: Host) -> Iterator[Finding]:
    """Warn of siblings that stay on VFIO and are of no use there (K20)."""
    for device in case.moving:
        group = then.group_of(device)
        left = [] if group is None else [one for one in then.members(group) if one.on_vfio]
        if left:
            names = " ".join(str(one.address) for one in left)
            text = f"no virtual machine can have the rest of its group ({names}) while the host has this one"
            hint = f"give them back as well: vfioctl unbind {device.address} {names}"
            yield Finding("viability", Severity.WARN, device.address, text, hint)
