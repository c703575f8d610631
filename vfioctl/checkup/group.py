"""Groups of the devices that matter: viable, no fixed mappings, not behind VMD (H1-H7, H29, H51)."""

from __future__ import annotations

from vfioctl.checkup.check import Check, Evidence, Status, listed
from vfioctl.model import paths
from vfioctl.model.device import PhysicalFunction
from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.together import why_together
from vfioctl.model.verdict import reasons_against
from vfioctl.model.viability import RELEASABLE, assess
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.checkup.check import Patient
    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.group import IommuGroup
    from vfioctl.model.host import Host
    from vfioctl.model.viability import Viability

_LOSSES = 3


def _groups(patient: Patient) -> Iterator[tuple[PciDevice, IommuGroup]]:
    """Yield the groups of the devices that matter, each once, with the first device of it."""
    seen: set[int] = set()
    for device in sorted(patient.wanted.devices, key=lambda one: (not one.on_vfio, one.address)):
        group = patient.host.group_of(device)
        if group is not None and group.id not in seen:
            seen.add(group.id)
            yield device, group


def viable(patient: Patient) -> Iterator[Check]:
    """Judge whether VFIO may have the groups: who is in the way, and what to type (K18-K20)."""
    for device in patient.wanted.devices:
        if device.iommu_group is None:
            yield _no_group(patient.host, device)
    for device, group in _groups(patient):
        yield _viable(patient.host, device, group)


def _no_group(host: Host, device: PciDevice) -> Check:
    seen = (Evidence(f"{paths.PCI_DEVICES}/{device.address}/iommu_group", "none"),)
    reason = next(
        (one for one in reasons_against(host, device) if one.check in {"no-group", "no-iommu"}), None
    )
    title = reason.text if reason else "it has no IOMMU group"
    known = reason is not None and "unknown" not in reason.text
    status = Status.FAIL if known else Status.UNKNOWN
    remedy = "see the checks about the IOMMU: vfioctl doctor --only iommu"
    return Check("viable", title, device.address, status, seen, remedy, f"vfioctl show {device.address}")


def _viable(host: Host, device: PciDevice, group: IommuGroup) -> Check:
    judged = assess(host, group)
    seen = (Evidence(f"{paths.IOMMU_GROUPS}/{group.id}/devices", _members(host, group)),)
    see = f"vfioctl groups group:{group.id}"
    if judged.viable:
        return Check("viable", f"group {group.id} is viable", device.address, Status.OK, seen, None, see)
    causes = "; ".join(f"{one.name}: {one.reason}" for one in judged.blockers) or "its members are not known"
    if judged.viable is None:
        title = f"whether group {group.id} is viable is unknown: {causes}"
        return Check("viable", title, device.address, Status.UNKNOWN, seen, None, see)
    together = why_together(host, group)
    if together and len(group.members) > 1:
        causes += f" (together because {'; '.join(together)})"
    status = Status.FAIL if any(one.on_vfio for one in host.members(group)) else Status.WARN
    remedy = _way(device, judged)
    if remedy is None:
        status = Status.FAIL
        remedy = _no_way(host, judged)
    title = f"group {group.id} is not viable: {causes}"
    return Check("viable", title, device.address, status, seen, remedy, see)


def _no_way(host: Host, judged: Viability) -> str:
    """Say what is left where no command of bind helps, by what is in the way for good."""
    names = {one.name for one in judged.blockers_after_bind}
    blocking = [one for one in host.devices if str(one.address) in names]
    dead, board, split = (_held_by(host, blocking, checks) for checks in ({"dead"}, {"board"}, {"vfs"}))
    if dead:
        return f"bring {listed(dead)} back to life first: vfioctl doctor --only reset {listed(dead)}"
    if board:
        return f"choose another device: {listed(board)} cannot be given away, being part of the board"
    if split and not _with_own_functions(host, blocking):
        return f"remove the virtual functions first: vfioctl sriov off {listed(split)}"
    return "put the card into another slot, whose group it has to itself"


def _held_by(host: Host, devices: list[PciDevice], checks: set[str]) -> list[PciAddress]:
    return [
        one.address
        for one in devices
        if checks.intersection(reason.check for reason in reasons_against(host, one))
    ]


def _with_own_functions(host: Host, devices: list[PciDevice]) -> bool:
    """Tell whether a physical function shares its group with a virtual one of its own (H56)."""
    return any(
        function in host.by_address and host.by_address[function].iommu_group == one.iommu_group
        for one in devices
        if isinstance(one.sriov, PhysicalFunction)
        for function in one.sriov.virtual_functions
    )


def _members(host: Host, group: IommuGroup) -> str:
    known = [f"{member.address} ({member.driver or 'no driver'})" for member in host.members(group)]
    lost = [str(address) for address in group.members if address not in host.by_address]
    others = [f"{other.name} ({other.driver or 'no driver'})" for other in group.other_members]
    return ", ".join([*known, *(f"{name} (unread)" for name in lost), *others]) or "no member"


def _way(device: PciDevice, judged: Viability) -> str | None:
    """Return the command that makes a group viable; None where none does."""
    lasting = [one for one in judged.blockers_after_bind if one.driver != RELEASABLE]
    possible = [*judged.bind, *([device.address] if device.on_vfio else [])]
    if lasting or not possible:
        return None
    release = "--release-shpchp " if judged.blockers_after_bind else ""
    address = device.address if device.address in possible else possible[0]
    lost = list(dict.fromkeys(loss.usage.detail for loss in judged.losses))
    more = f" and {len(lost) - _LOSSES} more" if len(lost) > _LOSSES else ""
    loses = f"; the host would lose: {', '.join(lost[:_LOSSES])}{more}" if lost else ""
    return f"vfioctl bind {release}{address}{loses}"


def reserved(patient: Patient) -> Iterator[Check]:
    """Judge whether the firmware demands a fixed mapping, which VFIO cannot give (K24)."""
    unread = {one.path: one.reason for one in patient.host.unread}
    for device, group in _groups(patient):
        file = f"{paths.IOMMU_GROUPS}/{group.id}/reserved_regions"
        kinds = listed(dict.fromkeys(region.type for region in group.reserved_regions))
        if group.needs_identity_mapping:
            regions = [one for one in group.reserved_regions if one.type == "direct"]
            text = ", ".join(f"0x{one.start:x}-0x{one.end:x} direct" for one in regions)
            title = f"the firmware demands a fixed mapping for group {group.id} (RMRR): attaching it fails"
            remedy = "look in the firmware setup for what uses it (USB legacy, remote management)"
            yield Check("rmrr", title, device.address, Status.FAIL, (Evidence(file, text),), remedy)
        elif file in unread or not kinds:
            seen = (Evidence(file, unread.get(file, "not known")),)
            title = f"whether the firmware demands a fixed mapping for group {group.id} is unknown"
            yield Check("rmrr", title, device.address, Status.UNKNOWN, seen)
        else:
            title = f"no fixed mapping is demanded for group {group.id}"
            yield Check("rmrr", title, device.address, Status.OK, (Evidence(file, kinds),))


def vmd(patient: Patient) -> Iterator[Check]:
    """Judge whether drives hide behind Intel VMD, whose requester id they share (K51)."""
    host = patient.host
    hidden = [device for device in host.devices if device.address.in_software_domain and not device.is_bridge]
    wanted = {device.address for device in patient.wanted.devices}
    controllers = [device for device in host.devices if device.driver == "vmd"]
    taken = all(is_vfio_driver(one.driver) for one in controllers) if controllers else False
    for device in hidden:
        seen = (
            Evidence(f"{paths.PCI_DEVICES}/{device.address}", "its domain is made by VMD"),
            *(Evidence(f"{paths.PCI_DEVICES}/{one.address}/driver", "vmd") for one in controllers),
        )
        title = "it sits behind Intel VMD and cannot be given away by itself"
        names = listed(one.address for one in controllers) or "the VMD controller"
        remedy = f"give away {names} with all behind it, or switch VMD off in the firmware"
        status = Status.FAIL if device.address in wanted and not taken else Status.WARN
        yield Check("vmd", title, device.address, status, seen, remedy, f"vfioctl show {device.address}")
    if not hidden:
        domains = dict.fromkeys(f"{device.address.domain:04x}" for device in host.devices)
        seen = (Evidence(paths.PCI_DEVICES, f"domains: {listed(domains) or 'none'}"),)
        yield Check("vmd", "no device is behind Intel VMD", None, Status.OK, seen)
