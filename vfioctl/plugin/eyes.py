"""Who looks at the host, in the reader's process: the whole of it, or only where something was reported."""

from __future__ import annotations

import os

from vfioctl.model.address import PciAddress
from vfioctl.plugin.decisions import View
from vfioctl.plugin.sight import Sight, look
from vfioctl.sysfs.again import read_again
from vfioctl.sysfs.attribute import Files
from vfioctl.sysfs.openers import openers_of_late
from vfioctl.sysfs.reader import read_whole
from vfioctl.sysfs.root import IOMMU_GROUPS, VFIO_DEVICE_NODES, VFIO_GROUP_NODES, HostRoot
from vfioctl.sysfs.rounds import PART, Round
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.sysfs.openers import Opener
    from vfioctl.sysfs.reader import Reading


class HostEyes:
    """Looks at one host, and remembers what it read."""

    def __init__(self, base: str = "/", part: int = PART) -> None:
        """Look at the host below this folder, at so many functions in one part of a look at everything."""
        self._base = base
        self._part = part
        self._reading: Reading | None = None
        self._round: Round | None = None
        """A look at everything that has not come to its end."""
        self._openers: tuple[Opener, ...] = ()

    def __call__(self, places: Iterable[str] | None = None) -> View:
        """Look at these places, addresses and nodes; at None, or where they are not all, everywhere.

        With no place at all it is only seen which programs have nodes open. After the first time a look at
        everything is made in parts, one with each call; calls for some places may come between.
        """
        root = HostRoot(self._base)
        files = Files(root)
        touched = None
        if places is not None and self._reading is not None:
            touched = touched_by(places, self._reading, root)
        if self._reading is not None and touched == frozenset():
            # Nobody reports that a program opens a node of its own: that is seen by looking.
            self._openers = openers_of_late() if root.live else ()
            return View(self._reading.host, look(root), self._openers, touched=touched)
        if self._reading is not None and places is None:
            return self._look_on(files, self._reading)
        again = read_again(files, self._reading, touched) if touched and self._reading else None
        if again is not None:
            if self._round is not None and self._reading is not None:
                self._round.touched(touched or (), self._reading, again)
            self._reading = again
            # All open files of all programs are a lot to look at because of one device.
            return View(again.host, look(root), self._openers, touched=touched)
        return self._all_of(read_whole(files, before=self._reading), root)

    def _look_on(self, files: Files, before: Reading) -> View:
        """Look at the next part of everything."""
        if self._round is None:
            self._round = Round(files, self._part)
        try:
            reading = self._round.read_on(files, before)
        except Exception:
            self._round = None
            raise
        if reading is None:
            return View(before.host, Sight(), self._openers, touched=frozenset(), more=True)
        return self._all_of(reading, files.root)

    def _all_of(self, reading: Reading, root: HostRoot) -> View:
        self._reading, self._round = reading, None
        self._openers = openers_of_late() if root.live else ()
        return View(reading.host, look(root), self._openers)


def touched_by(places: Iterable[str], reading: Reading, root: HostRoot) -> frozenset[PciAddress] | None:
    """Return the functions that places are about; None where one is of nobody that is known.

    The node of a group that is gone is about nothing: it may be reported after its last device went.
    """
    touched: set[PciAddress] = set()
    unknown_group = False
    for place in places:
        if place.startswith(f"{VFIO_GROUP_NODES}/"):
            theirs = tuple(_behind(place, reading))
            unknown_group = unknown_group or (not theirs and _may_be_group(place, root))
            touched.update(theirs)
        elif (address := PciAddress.from_name(place)) is not None:
            touched.add(address)
        else:
            return None
    # A device that is new may be in a group that is new.
    if unknown_group and touched <= reading.found.keys():
        return None
    return frozenset(touched)


def _may_be_group(node: str, root: HostRoot) -> bool:
    number = node.rpartition("/")[2].removeprefix("noiommu-")
    return not number.isdecimal() or os.path.lexists(root.local(f"{IOMMU_GROUPS}/{number}"))


def _behind(node: str, reading: Reading) -> Iterator[PciAddress]:
    """Yield the functions that a node is for: the group's, or the one whose own it is."""
    if node.startswith(f"{VFIO_DEVICE_NODES}/"):
        name = node.rpartition("/")[2]
        yield from (function for function, own in reading.gathered.vfio.functions.items() if own == name)
        return
    number = node.rpartition("/")[2].removeprefix("noiommu-")
    if number.isdecimal() and (group := reading.host.by_group.get(int(number))) is not None:
        yield from group.members
