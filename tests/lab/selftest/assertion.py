"""A scenario that is wrong on purpose: its assertion and the kernel's log must arrive outside."""

from __future__ import annotations

from pathlib import Path


def test_wrong_on_purpose() -> None:
    """Say something in the kernel's log, then fail."""
    Path("/dev/kmsg").write_text("lab: this line is the kernel's\n")
    print("this line is the scenario's")
    assert 6 * 7 == 41


def test_right() -> None:
    """A failure does not keep the next one from running."""
