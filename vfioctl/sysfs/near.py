"""Read of a host what a change of few devices concerns: their groups, their slots, and what is tied to them.

To bind one card of a host of hundreds, most of the reading would be of others. What a plan looks at is asked
for beforehand, name by name, without opening what is not needed; the rest of the host is as if it were not
there. A test holds plans for such a host against plans for the whole.
"""

from __future__ import annotations

from vfioctl.model.address import PciAddress
from vfioctl.sysfs import root as paths
from vfioctl.sysfs.attribute import Attributes, Files
from vfioctl.sysfs.classes import read_companions
from vfioctl.sysfs.fetch import fetch
from vfioctl.sysfs.groups import group_names
from vfioctl.sysfs.reader import device_names, gather, put_together
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vfioctl.model.host import Host
    from vfioctl.sysfs.root import HostRoot

FEW = 8
"""Devices: for more of them, looking around costs what reading all does."""


def read_near(root: HostRoot, means: Callable[[PciAddress], bool]) -> Host | None:
    """Read what concerns the devices that are meant; None where the whole must be read.

    It must where none is there or many are, where a name on the bus is no address, and where the folder of
    groups does not tell who belongs together.

    Raises:
        UsageError: there is no PCI bus below this root.
        NotPermittedError: the list of PCI devices may not be read.

    """
    files = Files(root)
    attributes = Attributes(files)
    names = device_names(files)
    known = {name: address for name in names if (address := PciAddress.from_name(name)) is not None}
    meant = [name for name, address in known.items() if means(address)]
    groups = group_names(attributes)
    if not groups or len(known) < len(names) or not 0 < len(meant) <= FEW:
        return None
    # What cannot be looked at is noted when it is read.
    around = _Around(Attributes(files), known)
    near = around.all_of(meant)
    fetched = fetch(files, [name for name in names if name in near], sorted(around.groups, key=int))
    return put_together(attributes, gather(attributes, names, groups, fetched)).host


class _Around:
    """Looks from device to device."""

    def __init__(self, attributes: Attributes, known: Mapping[str, PciAddress]) -> None:
        self.groups: set[str] = set()
        """The groups of all that was found."""
        self._attributes = attributes
        self._known = known
        self._tied = read_companions(attributes)

    def all_of(self, names: list[str]) -> set[str]:
        """Return these devices with all that a change of them may concern."""
        found: set[str] = set()
        parents: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found and name in self._known:
                found.add(name)
                parent = self._parent(name)
                # It is looked at (K39) and does not move with them: its own neighbours are nobody's concern.
                if parent is not None and parent in self._known:
                    parents.add(parent)
                waiting += self._beside(name, alone=parent is not None)
        for name in parents - found:
            self._group(name)
        return found | parents

    def _beside(self, name: str, *, alone: bool) -> Iterator[str]:
        """Yield who shares the group, a link (K50) or, unless it is a virtual function, the slot (K60)."""
        group = self._group(name)
        if group is not None:
            yield from self._attributes.names(f"{paths.IOMMU_GROUPS}/{group}/devices")
        yield from map(str, self._tied.get(self._known[name], ()))
        if not alone:
            slot = self._known[name].slot
            yield from (other for other, address in self._known.items() if address.slot == slot)

    def _parent(self, name: str) -> str | None:
        """Return the physical function of a virtual one."""
        return self._attributes.link_name(f"{paths.PCI_DEVICES}/{name}/physfn")

    def _group(self, name: str) -> str | None:
        group = self._attributes.link_name(f"{paths.PCI_DEVICES}/{name}/iommu_group")
        if group is not None and group.isdecimal():
            self.groups.add(group)
            return group
        return None
