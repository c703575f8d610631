"""A whole look in parts, between which devices that changed meanwhile can be looked at again.

To read four thousand functions takes a second. In parts it takes a little longer, and nobody waits for its
end. Of what is read again between two parts the newer reading holds; what came or went is read in the end.
"""

from __future__ import annotations

from operator import itemgetter

from vfioctl.model.address import PciAddress
from vfioctl.sysfs.again import groups_now, groups_then, merged
from vfioctl.sysfs.attribute import Attributes
from vfioctl.sysfs.classes import read_vfio_nodes
from vfioctl.sysfs.fetch import Fetched, fetch
from vfioctl.sysfs.groups import group_names
from vfioctl.sysfs.reader import Gathered, device_names, put_together
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from vfioctl.sysfs.attribute import Files
    from vfioctl.sysfs.reader import Reading

PART = 128
"""Devices, and groups, of a part: with both, what one process reads without being split."""


class Round:
    """One whole look, as far as it has come."""

    def __init__(self, files: Files, part: int = PART) -> None:
        """Begin; nothing is read but which devices and groups there are."""
        self._names = device_names(files)
        self._groups: Sequence[str] = group_names(Attributes(files)) or ()
        self._part = part
        self._at = 0
        self._fetched = Fetched([], [], {})
        self._touched: set[PciAddress] = set()
        self._theirs: set[str] = set()

    def touched(self, addresses: Collection[PciAddress], before: Reading, now: Reading) -> None:
        """Note that these devices were read again meanwhile, with the groups in which they were and are."""
        self._touched.update(addresses)
        self._theirs.update(groups_then(before, addresses), groups_then(now, addresses))

    def read_on(self, files: Files, before: Reading) -> Reading | None:
        """Read the next part; the last one gives the host, of which the rest is as `before`."""
        part = slice(self._at, self._at + self._part)
        self._at += self._part
        again = fetch(files, self._names[part], self._groups[part])
        self._fetched = Fetched(
            self._fetched.devices + again.devices,
            self._fetched.groups + again.groups,
            self._fetched.unread | again.unread,
        )
        if self._at < max(len(self._names), len(self._groups)):
            return None
        return self._end(files, before)

    def _end(self, files: Files, before: Reading) -> Reading:
        attributes = Attributes(files)
        names, groups = device_names(files), group_names(attributes)
        late = {*map(str, self._touched), *({*names} ^ {*self._names})}
        theirs = self._theirs | ({*(groups or ())} ^ {*self._groups})
        theirs |= {*groups_now(attributes, [name for name in names if name in late])}
        fetched = self._fetched
        fetched.devices.sort(key=itemgetter(0))
        if late or theirs:
            again = fetch(
                files,
                [name for name in names if name in late],
                [name for name in groups or () if name in theirs],
            )
            known = ((name, PciAddress.from_name(name)) for name in late)
            addresses = {name: address for name, address in known if address is not None}
            fetched = merged(fetched, again, addresses, theirs)
        gathered = Gathered(tuple(names), groups, fetched, read_vfio_nodes(attributes))
        return put_together(attributes, gathered, before=before)
