"""Why the members of an IOMMU group are together: what on the way to memory cannot tell them apart.

The kernel walks from a device towards the root and joins it with whatever does not isolate (K26): the
other functions of a card without ACS, a port without ACS, a conventional bridge, which passes on every
request under one id.
"""

from __future__ import annotations

from vfioctl.model.device import Acs, PciDevice, PortType, VirtualFunction
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.group import IommuGroup
    from vfioctl.model.host import Host

_ACS_STATE = {
    Acs.ABSENT: "has no ACS",
    Acs.INCOMPLETE: "has ACS but not all of it is switched on",
    None: "does not isolate (ACS missing or off)",
}


def why_together(host: Host, group: IommuGroup) -> tuple[str, ...]:
    """Say why a group has more than one member; nothing for a group of one."""
    if len(group.members) + len(group.other_members) < 2:  # noqa: PLR2004 - one member is together with nobody
        return ()
    members = host.members(group)
    reasons = [
        *_software_domain(members),
        *_bridges(host, members),
        *_slots(members),
        *_outside_ports(host, members),
    ]
    if group.other_members:
        names = ", ".join(other.name for other in group.other_members)
        reasons.append(f"non-PCI members share the translation of this group: {names}")
    return tuple(reasons or ["the firmware or the kernel reports one translation for all of them"])


def _software_domain(members: tuple[PciDevice, ...]) -> Iterator[str]:
    if any(member.address.in_software_domain for member in members):
        yield "everything behind Intel VMD reaches memory under the VMD controller's id"


def _bridges(host: Host, members: tuple[PciDevice, ...]) -> Iterator[str]:
    """Name the members that join what is behind them, as far as it is known which of a chain they are."""
    above = {bridge.address for member in members for bridge in host.ancestors(member)}
    inside = {member.address for member in members}
    for bridge in members:
        # Behind VMD the ports do not matter: its children share one id whatever they do (K51).
        if bridge.address not in above or not bridge.is_bridge or bridge.address.in_software_domain:
            continue
        # Where ACS could not be read, only the topmost port is sure to lack it.
        topmost = not any(higher.address in inside for higher in host.ancestors(bridge))
        if is_conventional(host, bridge):
            yield f"{bridge.address} is a conventional PCI bridge: all behind it reach memory under one id"
        elif _may_join(bridge) and (topmost or bridge.acs is not None):
            yield f"{_port_and_acs(bridge)}: it is joined with what is behind it"


def _may_join(bridge: PciDevice) -> bool:
    # The kernel asks no ACS of a switch's upstream port: its downstream ports keep their devices apart.
    return bridge.acs is not Acs.ISOLATES and bridge.port_type is not PortType.UPSTREAM


def is_conventional(host: Host, bridge: PciDevice) -> bool:
    """Tell whether the bus below a bridge is conventional PCI, where requests carry no id of their own."""
    if bridge.port_type is not None:
        return bridge.port_type is PortType.TO_PCI
    if bridge.driver == "pcieport":  # it takes nothing but PCI Express ports
        return False
    below = host.children.get(bridge.address, ())
    return not bridge.express or (bool(below) and not any(device.express for device in below))


def _port_and_acs(bridge: PciDevice) -> str:
    if bridge.port_type is not None:
        name = bridge.port_type.value
    else:
        name = "root port" if bridge.parent is None else "port"
    return f"{name} {bridge.address} {_ACS_STATE[bridge.acs]}"


def _slots(members: tuple[PciDevice, ...]) -> Iterator[str]:
    slots: dict[tuple[int, int, int], list[PciDevice]] = {}
    for member in members:
        # Virtual functions are kept apart without ACS of their own, though they may share a slot's number.
        isolates = member.acs is Acs.ISOLATES or isinstance(member.sriov, VirtualFunction)
        if not isolates and not member.address.in_software_domain:
            slots.setdefault(member.address.slot, []).append(member)
    for functions in slots.values():
        if len(functions) > 1:
            names = ", ".join(str(function.address) for function in functions)
            yield f"functions of one device without ACS between them: {names}"


def _outside_ports(host: Host, members: tuple[PciDevice, ...]) -> Iterator[str]:
    """Name the nearest port above all members, where none of them is a bridge that explains the group."""
    if any(member.is_bridge for member in members):
        return
    slots = {member.address.slot for member in members}
    if len(slots) < 2:  # noqa: PLR2004 - one slot needs no port to explain it
        return
    above = [{bridge.address for bridge in host.ancestors(member)} for member in members]
    for bridge in host.ancestors(members[0]):
        if not all(bridge.address in bridges for bridges in above):
            continue
        if is_conventional(host, bridge):
            yield f"{bridge.address} is a conventional PCI bridge: all behind it reach memory under one id"
            return
        if _may_join(bridge):
            yield f"{_port_and_acs(bridge)}: it cannot keep them apart"
            return
