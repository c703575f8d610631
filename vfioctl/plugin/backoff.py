"""How long to wait before the next attempt."""

from __future__ import annotations

import random

FIRST = 0.5
"""Seconds before the second attempt."""
LAST = 30.0
"""Seconds that no pause exceeds, jitter aside."""
_JITTER = 0.25


class Backoff:
    """Pauses that double from the first to the last, each spread by a quarter to both sides.

    The spread keeps hundreds of resources from coming back in one instant.
    """

    def __init__(self, first: float = FIRST, last: float = LAST) -> None:
        """Begin with the first pause."""
        self._first = first
        self._last = last
        self._pause = first

    def next(self) -> float:
        """Return the pause before the next attempt, in seconds."""
        pause = self._pause
        self._pause = min(pause * 2, self._last)
        return pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - nothing secret

    def reset(self) -> None:
        """Begin again: the last attempt was good."""
        self._pause = self._first
