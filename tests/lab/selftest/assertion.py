"""A scenario that is wrong on purpose: its assertion and the kernel's log must arrive outside."""

from __future__ import annotations

from tests.lab.guest import kernel_log


def test_wrong_on_purpose() -> None:
    """Say something in the kernel's log, then fail."""
    kernel_log.note("this line is the kernel's")
    print("this line is the scenario's")
    assert 6 * 7 == 41


def test_right() -> None:
    """A failure does not keep the next one from running."""
