"""A guest that runs out of memory: its kernel kills pytest, and the supervisor lives to tell."""

from __future__ import annotations


def test_eating_all_memory() -> None:
    """More than the machine has, page by page."""
    hoard = []
    while True:
        hoard.append(bytearray(b"x") * (16 << 20))
