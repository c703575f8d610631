"""What is done in a long run, drawn from a seed before anything has happened: the same seed, the same run."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

_T = TypeVar("_T")

WEIGHTS: Final = {
    "admit": 30,
    "end": 20,
    "crash": 6,
    "unbind": 6,
    "bind": 8,
    "pull": 4,
    "plug": 8,
    "restart the kubelet": 4,
    "reload": 5,
    "kill": 5,
    "rest": 4,
}
"""How often each thing is done, of a hundred."""


class Action(NamedTuple):
    """One thing to do; what it is done to is chosen among what is there by then."""

    name: str
    choice: float
    """From 0 up to 1: which one of those that are there."""
    holding: bool
    """Whether a pod's process opens its device."""
    waiting: bool
    """Whether the next thing comes only when the node offers what follows from this one."""

    def pick(self, candidates: list[_T]) -> _T | None:
        """Choose one of these; None where there is none."""
        return candidates[int(self.choice * len(candidates))] if candidates else None


def schedule(seed: int) -> Iterator[Action]:
    """Yield actions without end; what happens has no influence on what is drawn."""
    drawn = Random(seed)  # noqa: S311 - an order that can be had again
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    while True:
        (name,) = drawn.choices(names, weights)
        yield Action(name, drawn.random(), drawn.random() < 0.7, drawn.random() < 0.5)
