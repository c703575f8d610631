"""What keeps the plugin from knowing who owns what: why, and since when."""

from __future__ import annotations

import logging
from collections import Counter
from enum import StrEnum
from time import monotonic

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("vfioctl.plugin")

LASTING = 60.0
"""Seconds after which something is no kubelet that restarts, or a busy host, any more."""


class Source(StrEnum):
    """What is asked for who owns what."""

    PODS = "pods"
    OPEN_NODES = "open-nodes"


_WITHOUT = {
    Source.PODS: "what pods have is not known, and nothing is released",
    Source.OPEN_NODES: "who has nodes open is not known, and what was seen last counts",
}


class Trouble(NamedTuple):
    """A source that does not tell."""

    source: Source
    error: str
    seconds: float
    """For how long."""

    @property
    def lasting(self) -> bool:
        """Whether somebody should look after it."""
        return self.seconds >= LASTING

    def __str__(self) -> str:
        """Say what it means, and why it is so."""
        return f"{_WITHOUT[self.source]}, for {self.seconds:.0f} s now: {self.error}"


class _Open(NamedTuple):
    error: str
    since: float
    told: bool


class Troubles:
    """The troubles of the moment: each is logged when it begins, when it lasts, and when it is over."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """Begin without any."""
        self.failures: Counter[str] = Counter(dict.fromkeys(map(str, Source), 0))
        """How many questions failed since the start, by source."""
        self._clock = clock
        self._open: dict[Source, _Open] = {}

    def failed(self, source: Source, error: str) -> None:
        """Note that a question failed."""
        self.failures[source] += 1
        now = self._clock()
        before = self._open.get(source)
        if before is None:
            log.warning("%s: %s", _WITHOUT[source], error)
            self._open[source] = _Open(error, now, told=False)
            return
        lasts = now - before.since >= LASTING
        self._open[source] = _Open(error, before.since, told=before.told or lasts)
        if lasts and not before.told:
            log.error("%s", Trouble(source, error, now - before.since))

    def succeeded(self, source: Source) -> None:
        """Note that a question was answered."""
        before = self._open.pop(source, None)
        if before is not None:
            log.info("%s: known again after %.0f s", source.value, self._clock() - before.since)

    def now(self) -> tuple[Trouble, ...]:
        """Return what is not told now."""
        now = self._clock()
        return tuple(Trouble(source, one.error, now - one.since) for source, one in self._open.items())
