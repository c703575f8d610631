"""Whether something grew in the course of a long run."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.lab.soaking.samples import Sample

ALLOWED: Final = 0.05
"""Of memory; descriptors, threads, tasks and sockets must not grow at all."""
SETTLED: Final = 2
"""Calm moments of a life before which caches are still being filled."""


class Growth(NamedTuple):
    """The first and the last third of the calm moments of one life of the plugin.

    As medians, but the family as its least: interpreters that change drivers come and go, and what is asked
    is whether those grow or gather that stay.
    """

    what: str
    first: float
    last: float
    allowed: float

    @property
    def exceeded(self) -> bool:
        """Whether it is more than is allowed."""
        return self.last > self.first * (1 + self.allowed)


def growth(samples: Sequence[Sample]) -> list[Growth]:
    """Compare beginning and end of the last life; ValueError: it has too few calm moments."""
    life = max(sample.life for sample in samples)
    calm = [sample for sample in samples if sample.calm and sample.life == life][SETTLED:]
    third = len(calm) // 3
    if third < 1:
        message = f"{len(calm)} calm moments in the last life are too few to compare"
        raise ValueError(message)
    return [
        Growth(name, _typical(calm[:third], name), _typical(calm[-third:], name), allowed)
        for name, allowed in (
            ("rss_mib", ALLOWED), ("family_mib", ALLOWED),
            ("descriptors", 0.0), ("threads", 0.0), ("tasks", 0.0), ("sockets", 0.0),
        )
    ]  # fmt: skip


def _typical(samples: Sequence[Sample], name: str) -> float:
    found = [getattr(sample, name) or 0 for sample in samples]
    return min(found) if name == "family_mib" else median(found)
