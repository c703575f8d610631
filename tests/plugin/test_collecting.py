"""What stays is left alone by Python's collector."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from vfioctl.plugin.collecting import leave_alone

if TYPE_CHECKING:
    from collections.abc import Iterator


class Thing:
    """Something that may be part of a cycle."""

    other: Thing | None = None


@pytest.fixture
def _collector() -> Iterator[None]:
    """Have the collector afterwards as it was."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("_collector")
def test_what_is_there_is_not_looked_through_again() -> None:
    """And what it is replaced by is freed as before, cycles of later included."""
    kept = Thing()
    leave_alone()
    assert not any(one is kept for one in gc.get_objects())

    gone = weakref.ref(kept)
    del kept
    assert gone() is None

    one, other = Thing(), Thing()
    one.other, other.other = other, one
    gone = weakref.ref(one)
    del one, other
    gc.collect()
    assert gone() is None
