"""Read a host again where one device changed: that device and its group, and what is few on every host.

A whole look at four thousand functions takes a second, and a device that goes is reported as such. What was
gathered of all others is kept, and the host is put together anew from it, so that it is what a whole look
would give, but for two things: what changed without being named, and which programs hold nodes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice
from operator import attrgetter, itemgetter

from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.likeness import between
from vfioctl.sysfs import root as paths
from vfioctl.sysfs.assemble import make_device
from vfioctl.sysfs.attribute import Attributes
from vfioctl.sysfs.classes import read_vfio_nodes_again
from vfioctl.sysfs.fetch import Fetched, fetch
from vfioctl.sysfs.groups import make_group
from vfioctl.sysfs.reader import Gathered, device_names, put_together
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from typing import Any, TypeVar

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.group import IommuGroup
    from vfioctl.sysfs.assemble import Surroundings
    from vfioctl.sysfs.attribute import Files
    from vfioctl.sysfs.classes import VfioNodes
    from vfioctl.sysfs.fetch import Found
    from vfioctl.sysfs.groups import GroupFacts
    from vfioctl.sysfs.reader import Reading

    Key = TypeVar("Key")
    Row = TypeVar("Row", bound=tuple[Any, ...])

_PARENT = attrgetter("parent")
_BRIDGES = {1, 2}
"""Types of the configuration header that are no endpoint's."""


def read_again(files: Files, before: Reading, addresses: Collection[PciAddress]) -> Reading | None:
    """Read these devices and their groups; None where that is not all that changed: then read the whole.

    More has changed where other devices come or go (groups come and go with theirs), where something hangs
    below one of these that goes, where virtual functions are made or removed, where one has mediated
    devices, and where only the holders of a node tell whether a device is still being unbound.
    """
    attributes = Attributes(files)
    touched = {str(address): address for address in addresses}
    names = device_names(files)
    if _others_changed(before, touched, names):
        return None
    present = [name for name in names if name in touched]
    theirs = {*groups_now(attributes, present), *groups_then(before, addresses)}
    groups = _groups_again(attributes, before.gathered.groups, theirs)
    again = fetch(files, present, [name for name in theirs if name in (groups or ())])
    now = {one.address: one for one in again.devices}
    if any(_reaches_further(before, address, now.get(address)) for address in addresses):
        return None
    fetched = merged(before.gathered.fetched, again, touched, theirs)
    paths_now = {address: now[address].path if address in now else None for address in addresses}
    numbers = [int(name) for name in theirs if name.isdecimal()]
    vfio = read_vfio_nodes_again(attributes, before.gathered.vfio, paths_now, numbers)
    if any(_may_wait(one, fetched, vfio) for one in now.values()):
        return None
    gathered = Gathered(tuple(names), groups, fetched, vfio)
    return put_together(attributes, gathered, before=before, held=before.held)


def _others_changed(before: Reading, touched: Mapping[str, PciAddress], names: list[str]) -> bool:
    known, here = set(before.gathered.names), set(names)
    # Where it is listed under a name that no kernel would write, it would not be found under its own.
    odd = any(address in before.found and name not in known for name, address in touched.items())
    return odd or not touched.keys() >= known ^ here


def _groups_again(
    attributes: Attributes, known: tuple[str, ...] | None, theirs: Collection[str]
) -> tuple[str, ...] | None:
    """Return the names of all groups, of which only these may have come or gone; None if it is not known."""
    if known is None:
        return None
    groups = [name for name in known if name not in theirs]
    for name in theirs:
        if name.isdecimal() and attributes.names(f"{paths.IOMMU_GROUPS}/{name}"):
            insort(groups, name, key=int)
    return tuple(groups)


def groups_now(attributes: Attributes, names: list[str]) -> Iterator[str]:
    """Yield the groups that these devices are in now."""
    for name in names:
        group = attributes.link_name(f"{paths.PCI_DEVICES}/{name}/iommu_group")
        if group is not None:
            yield group


def groups_then(before: Reading, addresses: Collection[PciAddress]) -> Iterator[str]:
    """Yield the groups that these devices were in."""
    for address in addresses:
        one = before.found.get(address)
        if one is not None and one.facts.iommu_group is not None:
            yield str(one.facts.iommu_group)


def merged(
    before: Fetched, again: Fetched, touched: Mapping[str, PciAddress], groups: Collection[str]
) -> Fetched:
    """Put what was read again in the place of what was known of these devices and groups, both in order."""
    addresses = set(touched.values())
    numbers = {int(name) for name in groups if name.isdecimal()}
    links = {f"{paths.PCI_DEVICES}/{name}" for name in touched}
    folders = tuple(f"{paths.IOMMU_GROUPS}/{name}/" for name in groups)
    unread = {
        path: why
        for path, why in before.unread.items()
        if path not in links and not f"{path}/".startswith(folders)
    }
    return Fetched(
        _replaced(before.devices, addresses, again.devices),
        _replaced(before.groups, numbers, again.groups),
        unread | again.unread,
    )


def _replaced(known: Sequence[Row], keys: Iterable[Any], again: Iterable[Row]) -> list[Row]:
    """Return a row that is in the order of its first members, with the new ones in the place of these."""
    row, first = list(known), itemgetter(0)
    for key in keys:
        place = bisect_left(row, key, key=first)
        if place < len(row) and first(row[place]) == key:
            del row[place]
    for one in again:
        insort(row, one, key=first)
    return row


def _reaches_further(before: Reading, address: PciAddress, now: Found | None) -> bool:
    """Tell whether the change of a device is one of others as well."""
    then = before.found.get(address)
    if any(mdev.parent == address for mdev in before.host.mdevs):
        return True
    if then is not None and now is not None:
        return _ties(then) != _ties(now)
    one = then or now
    if one is None:
        return False
    is_bridge = one.facts.bridge or one.facts.config[0] in _BRIDGES
    has_children = address in map(_PARENT, before.host.devices)
    return is_bridge or one.facts.physical_function is not None or has_children


def _ties(one: Found) -> tuple[object, ...]:
    return one.path, one.facts.virtual_functions, one.facts.physical_function


def _may_wait(one: Found, fetched: Fetched, vfio: VfioNodes) -> bool:
    """Tell whether a device without a driver may be waiting for a holder: a sibling explains its node too."""
    group = one.facts.iommu_group
    return (
        one.facts.driver is None
        and group in vfio.groups
        and any(
            other.facts.iommu_group == group and is_vfio_driver(other.facts.driver)
            for other in fetched.devices
        )
    )


def remade(found: Mapping[PciAddress, Found], around: Surroundings, before: Reading) -> tuple[PciDevice, ...]:
    """Return the devices, those of before where neither they nor what surrounds them changed."""
    then, old_devices = before.around, before.host.devices
    slots, groups = _differing(around.slots, then.slots), _differing(around.vfio.groups, then.vfio.groups)
    changed = {
        *_differing(around.vfio.cdevs, then.vfio.cdevs),
        *_differing(around.companions, then.companions),
        *_differing(around.usage.interfaces, then.usage.interfaces),
        *_differing(around.usage.disks, then.usage.disks),
        *_differing(around.usage.uses, then.usage.uses),
        *_differing(around.vf_indexes, then.vf_indexes),
    }
    if slots:
        changed |= {address for address in found if address.slot in slots}
    if groups:
        changed |= {one.address for one in found.values() if one.facts.iommu_group in groups}
    # They are in one order, so that most of them are what they were without a look at each.
    old, new = between(list(before.found.values()), list(found.values()))
    if not changed & found.keys() <= {*islice(found, new.start, new.stop)}:
        old, new = slice(0, len(old_devices)), slice(0, len(found))
    were = {device.address: device for device in old_devices[old]}

    def made_again(one: Found) -> PciDevice:
        was = were.get(one.address)
        if was is not None and one.address not in changed and before.found[one.address] == one:
            return was
        device = make_device(one.address, one.path, one.facts, around)
        return was if was is not None and was == device else device

    fresh = tuple(map(made_again, islice(found.values(), new.start, new.stop)))
    return old_devices[: old.start] + fresh + old_devices[old.stop :]


def groups_remade(found: list[tuple[int, GroupFacts]], before: Reading) -> tuple[IommuGroup, ...]:
    """Return the groups, those of before where nothing of them changed."""
    facts, made = before.gathered.fetched.groups, before.host.groups
    # An outline makes its groups of the devices.
    old, new = (
        between(facts, found) if len(facts) == len(made) else (slice(0, len(made)), slice(0, len(found)))
    )
    known, by_number = dict(facts[old]), {group.id: group for group in made[old]}
    fresh = tuple(
        by_number[number] if known.get(number) == its and number in by_number else make_group(number, its)
        for number, its in found[new]
    )
    return made[: old.start] + fresh + made[old.stop :]


def _differing(now: Mapping[Key, object], then: Mapping[Key, object]) -> set[Key]:
    """Return the keys under which there is something else."""
    if now == then:
        return set()
    sides = (between(list(then), list(now)), between(list(then.values()), list(now.values())))
    first = min(new.start for _, new in sides)
    rest = len(now) - max(new.stop for _, new in sides)
    changed = {key for key, value in islice(now.items(), first, len(now) - rest) if then.get(key) != value}
    return changed | {key for key in islice(then, first, len(then) - rest) if key not in now}
