"""Whether a container could open a device as the host stands, and what to type if not."""

from __future__ import annotations

from enum import StrEnum

from vfioctl.export.nodes import Backend, is_noiommu, nodes_now
from vfioctl.model.value import NamedTuple
from vfioctl.model.verdict import reasons_against
from vfioctl.model.viability import assess
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.group import IommuGroup
    from vfioctl.model.host import Host

_SHOWN = 4


class State(StrEnum):
    """How far a device is."""

    READY = "ready"
    """A vfio driver has it."""
    UNBOUND = "unbound"
    """Another driver has it, or none; it can be bound."""
    NEVER = "never"
    """Nothing can give it away as this host is."""


class Readiness(NamedTuple):
    """A device's state, with the reason and the next command where it is not ready."""

    state: State
    reason: str = ""
    hint: str = ""


class Finding(NamedTuple):
    """Something an administrator should know of devices that are handed to a container."""

    check: str
    severity: str
    """``warn``: it will not work as it is; ``note``: it is worth knowing."""
    address: PciAddress | None
    message: str
    hint: str = ""


def readiness(host: Host, device: PciDevice) -> Readiness:
    """Judge one device."""
    if device.on_vfio:
        return Readiness(State.READY)
    if device.unbinding:
        return Readiness(
            State.NEVER,
            "an unbind of it is blocked until the process that holds it lets go",
            f"who that is: vfioctl show {device.address}",
        )
    against = reasons_against(host, device)
    if against:
        return Readiness(State.NEVER, str(against[0]), f"see: vfioctl show {device.address}")
    if (device.address, "driver") in host.unknown_fields:
        return Readiness(State.UNBOUND, "its driver could not be read", "run it as root")
    driver = f"{device.driver} drives it" if device.driver else "it has no driver"
    return Readiness(
        State.UNBOUND, f"{driver}; a container needs it on a vfio driver", f"vfioctl bind {device.address}"
    )


def with_groups(host: Host, devices: Iterable[PciDevice]) -> tuple[PciDevice, ...]:
    """Return devices and the other endpoints of their groups, in address order."""
    found = {device.address: device for device in devices}
    for group in _groups(host, tuple(found.values())):
        found |= {one.address: one for one in host.members(group) if is_endpoint(one)}
    return tuple(found[address] for address in sorted(found))


def is_endpoint(device: PciDevice) -> bool:
    """Tell whether a device is meant where several are selected: no bridge, nor a part of one."""
    return not (device.is_bridge or device.word == "bridge")


def group_findings(host: Host, devices: Iterable[PciDevice]) -> Iterator[Finding]:
    """Yield what is to be said of the groups of devices that a vfio driver has."""
    given = {device.address: device for device in devices if device.on_vfio}
    for group in _groups(host, tuple(given.values())):
        first = next(address for address in group.members if address in given)
        yield from _viability(host, group, first)
        beside = [one for one in host.members(group) if one.on_vfio and one.address not in given]
        if beside:
            names = " ".join(str(one.address) for one in beside[:_SHOWN])
            yield Finding(
                "group",
                "note",
                first,
                f"the node of group {group.id} also opens {names}",
                "devices of one group are not told apart by the IOMMU",
            )


def node_findings(host: Host, devices: Iterable[PciDevice]) -> Iterator[Finding]:
    """Yield what is odd about nodes."""
    for device in devices:
        if device.vfio_group_node is not None and is_noiommu(device.vfio_group_node):
            yield Finding(
                "noiommu",
                "warn",
                device.address,
                "no IOMMU protects the host from it: whoever has its node can write all memory",
                "the container needs CAP_SYS_RAWIO to open it",
            )
        if device.on_vfio and not nodes_now(device, Backend.AUTO):
            # The driver is bound before its node is there, and a recording may lack it.
            reason = "its nodes could not be read" if host.unread else "it has no node"
            yield Finding("node", "warn", device.address, reason, "ls -R /dev/vfio; dmesg | grep -i vfio")


def _viability(host: Host, group: IommuGroup, first: PciAddress) -> Iterator[Finding]:
    viability = assess(host, group)
    if viability.viable:
        return
    blockers = " ".join(blocker.name for blocker in viability.blockers[:_SHOWN])
    what = "is not viable" if viability.viable is False else "may not be viable"
    yield Finding(
        "viability",
        "warn",
        first,
        f"group {group.id} {what} because of {blockers or 'members that could not be read'}",
        f"vfioctl bind {first}" if viability.bind else f"vfioctl groups group:{group.id}",
    )


def _groups(host: Host, devices: Iterable[PciDevice]) -> Iterator[IommuGroup]:
    numbers = {device.iommu_group for device in devices if device.iommu_group is not None}
    return (host.by_group[number] for number in sorted(numbers) if number in host.by_group)
