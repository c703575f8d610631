"""A scenario that takes too long but can be interrupted: the guest ends it itself and goes on."""

from __future__ import annotations

import time

import pytest


@pytest.mark.deadline(2)
def test_sleeping_too_long() -> None:
    """Far beyond the deadline."""
    time.sleep(600)


def test_right() -> None:
    """The guest goes on."""
