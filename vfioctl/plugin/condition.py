"""Whether one item can be offered at all, and whether it is fit to be allocated now."""

from __future__ import annotations

from vfioctl.model.verdict import reasons_against
from vfioctl.model.viability import RELEASABLE, assess
from vfioctl.plugin.nodes import Lacking, device_nodes
from vfioctl.plugin.settings import BindMode, Kind
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.viability import Blocker, Viability
    from vfioctl.plugin.lots import Lot
    from vfioctl.plugin.settings import Resource
    from vfioctl.plugin.sight import Sight

REASONS = {
    "missing": "it is not on this host any more",
    "driver-changed": "it is not on a vfio driver",
    "no-node": "a device node that a container would need is not there",
    "group-changed": "its IOMMU group is not the one it was offered with",
    "group-not-viable": "another member of its IOMMU group is with the host, or that is unknown",
    "group-in-use": "another member of its IOMMU group is in use",
    "host-needs-it": "the host cannot spare it: a bind would be refused",
    "config-space-dead": "it does not answer: its configuration space reads all ones",
    "aer-fatal": "it reported a fatal error",
    "power-d3cold": "it is powered off (D3cold) and does not answer",
    "link-down": "its link is down",
    "cordoned": "an administrator took it out of service",
}
"""Why an item is not healthy, as the kubelet, logs and metrics are told: a closed list."""

URGENT = frozenset({"missing", "no-node", "cordoned"})
"""Reasons that count at once; the others when they are seen twice."""


def why_left_out(host: Host, lot: Lot, sight: Sight) -> str | None:
    """Say why an item cannot be offered at all, or return None.

    What is only unfit for now is offered all the same, as unhealthy: see `unfit`.
    """
    match lot.resource.kind:
        case Kind.PCI:
            return next(_against_functions(host, lot), None)
        case Kind.MDEV:
            no_group = lot.mdev is None or lot.mdev.iommu_group is None
            return "it has no IOMMU group" if no_group else None
        case Kind.USB:
            if lot.usb is not None and lot.usb.is_hub:
                return "it is a hub; hubs stay with the host"
            return (
                "its number on the bus could not be read"
                if lot.usb is None or lot.usb.device is None
                else None
            )
        case Kind.NODE:
            unknown = [path for path in lot.nodes if sight.has_node(path) is None]
            return f"whether {unknown[0]} is there cannot be told" if unknown else None


def _against_functions(host: Host, lot: Lot) -> Iterator[str]:
    for device in lot.functions:
        against = _against_function(host, lot.resource, device)
        if against is not None:
            yield against if len(lot.functions) == 1 else f"{device.address} of it: {against}"


def _against_function(host: Host, resource: Resource, device: PciDevice) -> str | None:
    if device.on_vfio and not device.is_bridge and device.iommu_group is not None:
        if is_noiommu(device):
            return "no IOMMU protects the host from it (noiommu)"
        return None
    against = reasons_against(host, device)
    if against:
        return against[0].text
    if resource.bind is not BindMode.ASSUME:
        return None
    if device.unbinding or (device.address, "driver") in host.unknown_fields:
        return "its driver is unknown"
    driver = f"on driver {device.driver}" if device.driver else "on no driver"
    return f"{driver}; to offer it: vfioctl bind {device.address}"


def is_noiommu(device: PciDevice) -> bool:
    """Tell whether a device is open to VFIO without an IOMMU, which protects nothing (K29)."""
    return device.vfio_group_node is not None and "/noiommu-" in device.vfio_group_node


def unfit(host: Host, lot: Lot, sight: Sight, cordoned: frozenset[str] = frozenset()) -> str | None:
    """Return why an item must not be allocated now, a word of `REASONS`, or None."""
    return next(_unfit(host, lot, sight, cordoned), None)


def _unfit(host: Host, lot: Lot, sight: Sight, cordoned: frozenset[str]) -> Iterator[str]:
    for device in lot.functions:
        if device.alive is False:
            # Reading its configuration wakes a device; one that stays in D3cold is off, not broken.
            yield "power-d3cold" if device.power_state == "D3cold" else "config-space-dead"
    if lot.resource.kind is Kind.PCI:
        yield from _unfit_functions(host, lot)
    if not awaits_binding(lot):
        needed = device_nodes(host, lot)
        if isinstance(needed, Lacking) or any(sight.has_node(path) is False for path in needed):
            yield "no-node"
    if {lot.id, *map(str, lot.things)} & cordoned:
        yield "cordoned"


def _unfit_functions(host: Host, lot: Lot) -> Iterator[str]:
    awaits = lot.resource.bind is BindMode.ON_DEMAND
    if any(not device.on_vfio for device in lot.functions) and not awaits:
        yield "driver-changed"
    for number in sorted({device.iommu_group for device in lot.functions if device.iommu_group is not None}):
        group = host.by_group.get(number)
        judged = assess(host, group) if group is not None else None
        viable = judged and (_viable_then(host, lot, judged) if awaits else judged.viable)
        if not viable:
            yield "group-not-viable"


def _viable_then(host: Host, lot: Lot, judged: Viability) -> bool | None:
    """Tell whether a group will be viable when it is bound for a pod, bridges being released where told."""
    blockers = judged.blockers_after_bind
    if blockers and lot.resource.release_shpchp:
        return len(bridges_on_shpchp(host, blockers)) == len(blockers)
    return judged.viable_after_bind


def bridges_on_shpchp(host: Host, blockers: Iterable[Blocker]) -> tuple[PciDevice, ...]:
    """Return the bridges among what keeps a group from VFIO that can be released (K19)."""
    names = {blocker.name for blocker in blockers if blocker.driver == RELEASABLE}
    return tuple(device for device in host.devices if device.is_bridge and str(device.address) in names)


def in_words(host: Host, lot: Lot, sight: Sight, reason: str) -> str:
    """Say what is wrong with an item as precisely as it is known: the text shows in a pod's status."""
    if reason == "no-node":
        needed = device_nodes(host, lot)
        if isinstance(needed, Lacking):
            return f"{REASONS[reason]}: {needed.what}"
        return f"{REASONS[reason]}: {' '.join(path for path in needed if sight.has_node(path) is False)}"
    if reason == "group-not-viable":
        groups = {device.iommu_group: host.group_of(device) for device in lot.functions}
        blockers = (
            f"{blocker.name}: {blocker.reason}"
            for group in groups.values()
            if group is not None
            for blocker in assess(host, group).blockers
        )
        return f"its IOMMU group is not viable: {'; '.join(blockers) or 'it could not be read'}"
    return REASONS[reason]


def awaits_binding(lot: Lot) -> bool:
    """Tell whether its nodes come into being only when a pod needs it."""
    return lot.resource.bind is BindMode.ON_DEMAND and any(not device.on_vfio for device in lot.functions)
