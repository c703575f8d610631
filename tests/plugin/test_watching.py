"""Who looks again and again: at the same moments, and never without a pause."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from vfioctl.plugin import watching
from vfioctl.plugin.watching import FolderWatch, until_beat

if TYPE_CHECKING:
    from pathlib import Path

RARELY = 1e9
"""Seconds between two looks: no machine has been up for so long, so that the first beat is far away."""


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


@pytest.mark.parametrize("calm", [True, False])
def test_only_who_is_calm_is_hurried(tmp_path: Path, calm: bool) -> None:
    """A look that was far away is made at once; between looks that are often anyway there is none more."""

    async def run() -> bool:
        watch = FolderWatch(str(tmp_path), RARELY, lambda: calm)
        watching = asyncio.create_task(watch.run())
        await asyncio.sleep(0)  # It rests by now.
        (tmp_path / "kubelet.sock").touch()
        watch.hurry()
        try:
            await asyncio.wait_for(
                watch.until(lambda seen: "kubelet.sock" in seen.names), 5.0 if calm else 0.1
            )
        except TimeoutError:
            return False
        finally:
            watching.cancel()
        return True

    assert asyncio.run(run()) is calm
