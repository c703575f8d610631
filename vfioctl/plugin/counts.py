"""What happened since the start, counted: whoever does something says so here, and the metrics read it.

Plain numbers, without the library that prints them: counting is on the way of every allocation, and a plugin
whose metrics nobody asks for need not load it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOCATE_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds; an allocation is a few milliseconds, and above one second it stalls the node's other pods."""
LOOK_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds; a look may take until its reader is left behind."""

GRANTED = "granted"
DENIED = "denied"
FAILED = "failed"
"""How an allocation ended, or a registration: ``failed`` where the fault is not the asker's."""
REGISTERED = "registered"


class Spread:
    """How long something took, over all the times that it was done."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """Tell times apart at these bounds, in seconds."""
        self.bounds = bounds
        self.total = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count one more."""
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    def copy(self) -> Spread:
        """Return what was counted until now."""
        other = Spread(self.bounds)
        other.total, other._counts = self.total, self._counts.copy()
        return other

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Yield each bound with how many took at most so long; the last bound is infinite."""
        below = 0
        for bound, count in zip((*self.bounds, float("inf")), self._counts, strict=True):
            below += count
            yield bound, below


class Counts:
    """Everything that is counted; one for the whole plugin."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.allocations: Counter[tuple[str, str]] = Counter()
        """By resource and result: `GRANTED`, `DENIED` or `FAILED`."""
        self.allocate_seconds = Spread(ALLOCATE_BOUNDS)
        self.registrations: Counter[tuple[str, str]] = Counter()
        """By resource and result: `REGISTERED` or `FAILED`."""
        self.look_seconds = Spread(LOOK_BOUNDS)
        self.releases = 0
        """Items that came back from containers."""
        self.group_conflicts = 0
        """Times that one IOMMU group was found with two owners, or an allocation was denied for its owner."""

    def copy(self) -> Counts:
        """Return what was counted until now, for another thread."""
        other = Counts()
        other.allocations, other.registrations = self.allocations.copy(), self.registrations.copy()
        other.allocate_seconds, other.look_seconds = self.allocate_seconds.copy(), self.look_seconds.copy()
        other.releases, other.group_conflicts = self.releases, self.group_conflicts
        return other

    def allocated(self, resource: str, result: str, seconds: float) -> None:
        """Count an allocation."""
        self.allocations[resource, result] += 1
        self.allocate_seconds.add(seconds)

    def registered(self, resource: str, result: str) -> None:
        """Count an attempt to register."""
        self.registrations[resource, result] += 1

    def looked(self, seconds: float) -> None:
        """Count a look at the host that succeeded."""
        self.look_seconds.add(seconds)

    def released(self, items: int = 1) -> None:
        """Count items that came back."""
        self.releases += items

    def conflicted(self) -> None:
        """Count a group that two wanted."""
        self.group_conflicts += 1
