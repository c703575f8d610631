from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfioctl.model.kernel import KernelRelease


@pytest.mark.parametrize(
    ("text", "numbers", "tracks"),
    [
        ("6.1.0-56-amd64", (6, 1), True),
        ("7.2.13", (7, 2), True),
        ("5.19.0-rc1", (5, 19), True),
        ("5.19", (5, 19), True),
        ("5.18.19", (5, 18), False),
        ("5.4.0-200-generic", (5, 4), False),
        ("4.19.0", (4, 19), False),
        ("10.0.1", (10, 0), True),
    ],
)
def test_ownership_is_tracked_since_5_19(text: str, numbers: tuple[int, int], *, tracks: bool) -> None:
    """The rule of viability changed with 5.19, by number: 5.4 is older, 10.0 is newer (K18)."""
    release = KernelRelease.parse(text)
    assert release is not None
    assert (release.major, release.minor) == numbers
    assert release.text == text
    assert release.tracks_dma_ownership is tracks


@pytest.mark.parametrize("text", ["", "linux", "6", "6.", "v6.1", "-6.1", "\u0666.\u0661", "9" * 5000 + ".1"])
def test_what_is_no_release_is_unknown(text: str) -> None:
    """Unknown is None, not an old kernel, and a hostile text raises nothing."""
    assert KernelRelease.parse(text) is None


@given(st.text())
def test_no_text_makes_it_raise(text: str) -> None:
    """The text comes from a file that a recording may have damaged."""
    release = KernelRelease.parse(text)
    assert release is None or release.text == text
