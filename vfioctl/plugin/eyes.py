"""Who looks at the host, in the reader's process: the whole of it, or only where something was reported."""

from __future__ import annotations

from vfioctl.model.address import PciAddress
from vfioctl.plugin.decisions import View
from vfioctl.plugin.sight import look
from vfioctl.sysfs.again import read_again
from vfioctl.sysfs.attribute import Files
from vfioctl.sysfs.openers import openers_of_late
from vfioctl.sysfs.reader import read_whole
from vfioctl.sysfs.root import VFIO_DEVICE_NODES, VFIO_GROUP_NODES, HostRoot
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.sysfs.openers import Opener
    from vfioctl.sysfs.reader import Reading


class HostEyes:
    """Looks at one host, and remembers what it read."""

    def __init__(self, base: str = "/") -> None:
        """Look at the host below this folder."""
        self._base = base
        self._reading: Reading | None = None
        self._openers: tuple[Opener, ...] = ()

    def __call__(self, places: Iterable[str] | None = None) -> View:
        """Look at these places, addresses and nodes; at None, or where they are not all, everywhere.

        With no place at all it is only seen which programs have nodes open.
        """
        root = HostRoot(self._base)
        files = Files(root)
        touched = None
        if places is not None and self._reading is not None:
            touched = touched_by(places, self._reading)
        if self._reading is not None and touched == frozenset():
            # Nobody reports that a program opens a node of its own: that is seen by looking.
            self._openers = openers_of_late() if root.live else ()
            return View(self._reading.host, look(root), self._openers, touched=touched)
        again = read_again(files, self._reading, touched) if touched and self._reading else None
        self._reading = again or read_whole(files, before=self._reading)
        if again is not None:
            # All open files of all programs are a lot to look at because of one device.
            return View(again.host, look(root), self._openers, touched=touched)
        self._openers = openers_of_late() if root.live else ()
        return View(self._reading.host, look(root), self._openers)


def touched_by(places: Iterable[str], reading: Reading) -> frozenset[PciAddress] | None:
    """Return the functions that places are about; None where one is of nobody that is known."""
    touched: set[PciAddress] = set()
    unknown_group = False
    for place in places:
        if place.startswith(f"{VFIO_GROUP_NODES}/"):
            theirs = tuple(_behind(place, reading))
            unknown_group |= not theirs
            touched.update(theirs)
        elif (address := PciAddress.from_name(place)) is not None:
            touched.add(address)
        else:
            return None
    # A device that is new may be in a group that is new.
    if unknown_group and touched <= reading.found.keys():
        return None
    return frozenset(touched)


def _behind(node: str, reading: Reading) -> Iterator[PciAddress]:
    """Yield the functions that a node is for: the group's, or the one whose own it is."""
    if node.startswith(f"{VFIO_DEVICE_NODES}/"):
        name = node.rpartition("/")[2]
        yield from (function for function, own in reading.gathered.vfio.functions.items() if own == name)
        return
    number = node.rpartition("/")[2].removeprefix("noiommu-")
    if number.isdecimal() and (group := reading.host.by_group.get(int(number))) is not None:
        yield from group.members
