"""IOMMU groups and the units that make them."""

from __future__ import annotations

from vfioctl.lean import MappingProxyType, lru_cache
from vfioctl.model.address import PciAddress
from vfioctl.model.group import IommuGroup, OtherMember, ReservedRegion
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root
from vfioctl.sysfs.attribute import Attributes
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vfioctl.model.device import PciDevice
    from vfioctl.sysfs.attribute import Files

    _Region = tuple[int, int, str]


def group_names(attributes: Attributes) -> tuple[str, ...] | None:
    """Return the names of the groups in numeric order; None when that cannot be known."""
    try:
        names = attributes.files.names(root.IOMMU_GROUPS)
    except OSError as error:
        attributes.note(root.IOMMU_GROUPS, error)
        return None if root.IOMMU_GROUPS in attributes.unread else ()
    return tuple(sorted((name for name in names if name.isdecimal()), key=int))


class GroupFacts(NamedTuple):
    """One group's facts; plain values only, so that they can come back from a reading process."""

    type: str | None
    members: tuple[str, ...]
    others: tuple[tuple[str, str | None], ...]
    """Members that are no PCI functions, with their driver."""
    regions: tuple[tuple[int, int, str], ...]
    unread: tuple[tuple[str, str], ...]


def probe_group(files: Files, path: str) -> GroupFacts:
    """Read one group; its members come from its own list, since not all are PCI functions (K22)."""
    attributes = Attributes(files)
    members, others = [], []
    for member in attributes.names(f"{path}/devices"):
        if PciAddress.from_name(member) is not None:
            members.append(member)
        else:
            others.append((member, _driver(attributes, f"{path}/devices/{member}")))
    return GroupFacts(
        type=attributes.text(f"{path}/type"),
        members=tuple(members),
        others=tuple(others),
        regions=_regions(attributes, f"{path}/reserved_regions"),
        unread=tuple(attributes.unread.items()),
    )


def probe_outline(files: Files, path: str) -> GroupFacts:
    """Read of a group only what decides about its devices: a third of the price on a host with thousands."""
    attributes = Attributes(files)
    regions = _regions(attributes, f"{path}/reserved_regions")
    return GroupFacts(None, (), (), regions, tuple(attributes.unread.items()))


def _driver(attributes: Attributes, path: str) -> str | None:
    target = attributes.target(path)
    return attributes.link_name(f"{target}/driver") if target else None


def _regions(attributes: Attributes, path: str) -> tuple[_Region, ...]:
    regions, malformed = _parse_regions(attributes.text(path) or "")
    if malformed is not None:
        attributes.unread[path] = f"malformed: {malformed[:40]!r}"
    return regions


# Most groups of a host reserve the same regions: the text is taken apart once, and the values are shared.
@lru_cache(maxsize=256)
def _parse_regions(text: str) -> tuple[tuple[_Region, ...], str | None]:
    """Return the regions, and a line that is none."""
    regions, malformed = [], None
    for line in text.split("\n") if text else ():
        try:
            start, end, kind = line.split()
            regions.append((int(start, 16), int(end, 16), kind))
        except ValueError:
            malformed = line
    return tuple(regions), malformed


def make_group(number: int, facts: GroupFacts) -> IommuGroup:
    """Make a group from what a reading process found."""
    addresses = [address for member in facts.members if (address := PciAddress.from_name(member))]
    return IommuGroup(
        id=number,
        type=facts.type,
        members=tuple(sorted(addresses)),
        other_members=tuple([OtherMember(*other) for other in facts.others]),
        reserved_regions=_make_regions(facts.regions),
    )


@lru_cache(maxsize=256)
def _make_regions(regions: tuple[tuple[int, int, str], ...]) -> tuple[ReservedRegion, ...]:
    return tuple(ReservedRegion(*region) for region in regions)


def outline_groups(
    devices: Iterable[PciDevice], facts: Mapping[int, GroupFacts] = MappingProxyType({})
) -> tuple[IommuGroup, ...]:
    """Put groups together from the devices' own links, where that is all a recording or an outline has."""
    members: dict[int, list[PciAddress]] = {number: [] for number in facts}
    for device in devices:
        if device.iommu_group is not None:
            members.setdefault(device.iommu_group, []).append(device.address)
    return tuple(
        [
            # No type, and none that are not PCI functions.
            IommuGroup(number, None, tuple(sorted(addresses)), (), _regions_of(facts.get(number)))
            for number, addresses in sorted(members.items())
        ]
    )


def _regions_of(facts: GroupFacts | None) -> tuple[ReservedRegion, ...]:
    return _make_regions(facts.regions) if facts else ()
