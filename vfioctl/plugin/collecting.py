"""How Python's collector is to treat what is known of a large host: many values, and no cycle among them."""

from __future__ import annotations

import gc

_YOUNG = 5000
"""Objects made, less those freed, before the youngest are looked through: a look at one device makes many."""


def leave_alone() -> None:
    """Have all that is there now never looked through again, and what comes less often.

    To look through what is known of four thousand functions takes 50 ms, in which nobody is answered. What
    is replaced is freed all the same: by its count of references, not by the collector.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
