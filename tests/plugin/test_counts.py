"""What is counted of what the kubelet asks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.plugin.kubelet.pods import pod
from tests.plugin.scene import GPU, NIC, Table, offer, scene
from vfioctl.plugin.counts import DENIED, FAILED, GRANTED, REGISTERED, Spread

if TYPE_CHECKING:
    from pathlib import Path

    from vfioctl.plugin.values import Denied, Grant, Offer


def test_every_allocation_counts_once_by_how_it_ended(place: Path) -> None:
    """What is granted, what is denied for a reason, and what vfioctl stumbles over are three things."""

    class Clumsy(Table):
        def allocate(self, offered: Offer, ids: tuple[str, ...]) -> Grant | Denied:
            if offered.resource == NIC:
                raise ZeroDivisionError
            return super().allocate(offered, ids)

    async def run() -> None:
        async with scene(place, offer(GPU, "a", "b"), offer(NIC, "x"), rules=Clumsy(str(place))) as stage:
            await stage.settled(gpu=(2, 2), nic=(1, 1))
            await stage.kubelet.until(lambda: stage.plugin.ready)
            counts = stage.plugin.counts
            assert counts.registrations == {(GPU, REGISTERED): 1, (NIC, REGISTERED): 1}
            await stage.kubelet.admit(pod("good", {GPU: 1}))
            stage.plugin.kept[GPU].service.offer = offer(GPU, "-a", "-b")
            await stage.kubelet.admit(pod("late", {GPU: 1}))
            await stage.kubelet.admit(pod("unlucky", {NIC: 1}))
            assert counts.allocations == {(GPU, GRANTED): 1, (GPU, DENIED): 1, (NIC, FAILED): 1}
            assert counts.allocate_seconds.count == 3
            assert counts.look_seconds.count == stage.plugin.look.count

    asyncio.run(run())


@pytest.mark.slow
def test_a_registration_that_is_refused_counts_as_failed(place: Path) -> None:
    """Each attempt, also where the log says it only once."""

    async def run() -> None:
        async with scene(place, offer("nodomain", "a")) as stage:
            counts = stage.plugin.counts
            await stage.kubelet.until(lambda: counts.registrations["nodomain", FAILED] >= 2)
            assert counts.registrations["nodomain", REGISTERED] == 0

    asyncio.run(run())


def test_a_spread_counts_what_took_at_most_so_long() -> None:
    """A bound belongs to what is below it, and the last one to everything."""
    spread = Spread((0.1, 1.0))

    for seconds in (0.05, 0.1, 0.5, 7.0):
        spread.add(seconds)

    assert list(spread.cumulative()) == [(0.1, 2), (1.0, 3), (float("inf"), 4)]
    assert (spread.count, round(spread.total, 2)) == (4, 7.65)
