"""What two sequences have in common at both ends, found without a step of Python for each member.

One of thousands of devices changed: all others are the very same objects as before, in the same order.
"""

from __future__ import annotations

from itertools import compress
from operator import is_not

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def between(then: Sequence[object], now: Sequence[object]) -> tuple[slice, slice]:
    """Return the part of each that lies between what both begin with and what both end with."""
    shorter = min(len(then), len(now))
    same = next(compress(range(shorter), map(is_not, then, now)), shorter)
    rest = shorter - same
    ending = next(compress(range(rest), map(is_not, reversed(then), reversed(now))), rest)
    return slice(same, len(then) - ending), slice(same, len(now) - ending)
