"""What was reported since the last look, as places to look at again: addresses and nodes, or everything."""

from __future__ import annotations

import asyncio
from time import time_ns

from vfioctl.model.address import PciAddress
from vfioctl.sysfs.classes import function_above
from vfioctl.sysfs.root import VFIO_DEVICE_NODES, VFIO_GROUP_NODES
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


_TICK = 10_000_000
"""Nanoseconds by which the time of a folder may be behind the clock."""
_MOST = 4096
"""Nodes to be remembered of those that were looked at; to look once too often does no harm."""


class News:
    """Gathers what is to be looked at."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._places: set[str] = set()
        self._nodes: set[str] = set()
        self._looked: dict[str, int] = {}
        """Nodes of which the kernel told, and when the look because of that began (clock, nanoseconds)."""
        self.everything = False
        """Whether it is the whole host that is to be looked at."""
        self.heard = asyncio.Event()
        """Set as soon as there is anything."""
        self.placed = asyncio.Event()
        """Set as soon as there is a place."""

    def hear(self, places: Iterable[str] | None, node: str | None = None) -> None:
        """Add places; None stands for everything. With them a node is seen, or that it is gone."""
        if places is None:
            self.everything = True
        else:
            self._places.update(places)
            self.placed.set()
        if node is not None:
            self._nodes.add(node)
        self.heard.set()

    def take(self) -> Places | None:
        """Return what was gathered, for a look that begins now, and begin anew."""
        everything, self.everything = self.everything, False
        places = self.take_places()
        return None if everything else places

    def take_places(self) -> Places:
        """Return the places that were gathered; that everything is to be looked at stands."""
        places, self._places = self._places, set()
        if len(self._looked) > _MOST:
            self._looked.clear()
        self._looked |= dict.fromkeys(self._nodes, time_ns())
        self._nodes.clear()
        self.placed.clear()
        if not self.everything:
            self.heard.clear()
        return frozenset(places)

    def unseen(self, nodes: Iterable[str], changed: int) -> Places:
        """Return which nodes of a folder no look has seen since it changed, then (clock, nanoseconds).

        What the kernel tells of was looked at long before anybody looks at the folder.
        """
        return frozenset(node for node in nodes if self._looked.pop(node, 0) <= changed + _TICK)


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


def node_of(report: Report) -> str | None:
    """Return the node that came or went with what is reported, None where none did."""
    match report.subsystem:
        case "vfio":
            return f"{VFIO_GROUP_NODES}/{report.name}"
        case "vfio-dev":
            return f"{VFIO_DEVICE_NODES}/{report.name}"
        case _:
            return None


def places_between(folder: str, before: Seen, now: Seen) -> Places | None:
    """Return the nodes that came or went in a folder; None where it is another folder."""
    if before.folder != now.folder:
        return None
    return frozenset(f"{folder}/{name}" for name in before.names ^ now.names)
