"""Who looks again and again: at the same moments, and never without a pause."""

from __future__ import annotations

import asyncio
import time

import pytest

from vfioctl.plugin import watching
from vfioctl.plugin.watching import until_beat


@pytest.mark.parametrize(
    ("now", "period", "wait"),
    [
        pytest.param(10.1, 0.25, 0.15, id="the-rest-of-a-period"),
        pytest.param(10.25, 0.25, 0.25, id="on-the-beat-a-whole-one"),
        pytest.param(0.0, 1.0, 1.0, id="at-the-very-start"),
        pytest.param(1e6 + 0.75, 1.0, 0.25, id="weeks-later"),
    ],
)
def test_the_wait_until_the_next_beat(now: float, period: float, wait: float) -> None:
    """It ends on a whole multiple of the period, and is never nothing: no loop goes round without a pause."""
    assert until_beat(now, period) == pytest.approx(wait)


def test_everybody_wakes_at_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three watchers that began apart from each other, on a clock of the test's."""
    clock, woken = 100.0, []

    async def sleep(seconds: float) -> None:
        woken.append(clock + seconds)

    monkeypatch.setattr(time, "monotonic", lambda: clock)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    for began in (100.01, 100.1, 100.24):
        clock = began
        asyncio.run(watching.beat(0.25))

    assert woken == pytest.approx([100.25] * 3)
