"""What was reported since the last look, as places to look at again: addresses and nodes, or everything."""

from __future__ import annotations

import asyncio

from vfioctl.model.address import PciAddress
from vfioctl.sysfs.classes import function_above
from vfioctl.sysfs.root import VFIO_GROUP_NODES
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol, TypeAlias

    from vfioctl.plugin.watching import Seen

    Places: TypeAlias = frozenset[str]

    class Report(Protocol):
        """What the kernel reports."""

        @property
        def subsystem(self) -> str:
            """Whose object it is about."""

        @property
        def name(self) -> str:
            """What the object is called."""

        @property
        def place(self) -> str:
            """Where it is in the device tree."""


class News:
    """Gathers what is to be looked at."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._places: set[str] = set()
        self.everything = False
        """Whether it is the whole host that is to be looked at."""
        self.heard = asyncio.Event()
        """Set as soon as there is anything."""
        self.placed = asyncio.Event()
        """Set as soon as there is a place."""

    def hear(self, places: Iterable[str] | None) -> None:
        """Add places; None stands for everything."""
        if places is None:
            self.everything = True
        else:
            self._places.update(places)
            self.placed.set()
        self.heard.set()

    def take(self) -> Places | None:
        """Return what was gathered, and begin anew."""
        everything, self.everything = self.everything, False
        places = self.take_places()
        return None if everything else places

    def take_places(self) -> Places:
        """Return the places that were gathered; that everything is to be looked at stands."""
        places, self._places = self._places, set()
        self.placed.clear()
        if not self.everything:
            self.heard.clear()
        return frozenset(places)


def place_of(report: Report) -> str | None:
    """Return the place that a report is about; None where more may have changed than one device."""
    match report.subsystem:
        case "pci":
            return report.name if PciAddress.from_name(report.name) is not None else None
        case "vfio":
            return f"{VFIO_GROUP_NODES}/{report.name}"
        case "vfio-dev":
            # Its node has a number that says nothing before it was read.
            function = function_above(report.place)
            return None if function is None else str(function)
        case _:
            return None


def places_between(folder: str, before: Seen, now: Seen) -> Places | None:
    """Return the nodes that came or went in a folder; None where it is another folder."""
    if before.folder != now.folder:
        return None
    return frozenset(f"{folder}/{name}" for name in before.names ^ now.names)
