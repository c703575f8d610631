"""The long run itself: what is drawn is done, and what must always hold is asked after each step."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.lab.guest import channel, kernel, kernel_log, libraries
from tests.lab.guest.qmp import Monitor
from tests.lab.soaking import cards, samples
from tests.lab.soaking.cards import CARDS
from tests.lab.soaking.growth import growth
from tests.lab.soaking.node import RESOURCES, Node
from tests.lab.soaking.schedule import Action, schedule

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.soaking.cards import Card
    from tests.lab.soaking.samples import Sample

ROUND: Final = 15
"""Actions after which all pods end, all cards are there and bound, and everything must be offered again."""
KILLS_UNTIL: Final = 0.4
"""Part of the time in which the plugin is killed; then one process lives to the end, to be compared."""
NOTHING: Final = "nothing to do it to"

pytestmark = [pytest.mark.topologies("hotplug"), pytest.mark.deadline(4 * 3600)]


def test_the_long_run(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Group exclusivity, return to Healthy, no growth."""
    seed, minutes = request.config.getoption("--seed"), request.config.getoption("--minutes")
    run = Run(tmp_path, seed, minutes * 60)
    try:
        asyncio.run(run.go())
        compared = growth(run.samples)
    finally:
        record = {"seed": seed, "minutes": minutes, "samples": [sample._asdict() for sample in run.samples]}
        channel.bring_back("soak.json", json.dumps(record).encode())
        channel.bring_back(
            "soak.log", (tmp_path / "log").read_bytes() if (tmp_path / "log").exists() else b""
        )
    for one in compared:
        kernel_log.note(f"{one.what}: {one.first:.1f}, in the end {one.last:.1f}")
    assert [one for one in compared if one.exceeded] == []


class Run:
    """One long run."""

    def __init__(self, folder: Path, seed: int, seconds: float) -> None:
        """Keep what it is drawn from and how long it takes."""
        self.samples: list[Sample] = []
        self.log = folder / "log"
        self._node = Node(folder)
        self._schedule = schedule(seed)
        self._seconds = seconds
        self._began = 0.0

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    async def go(self) -> None:
        """Run until the time is over, the last round included."""
        libraries.listed()
        kernel.modprobe("vfio-pci", "vfio_iommu_type1")
        with Monitor() as self._monitor:
            try:
                for card in CARDS:
                    cards.plug(self._monitor, card)
                await self._node.start()
                await self._node.converged()
                self._began = time.monotonic()
                while self._elapsed < self._seconds:
                    await self._round()
            finally:
                await self._node.stop()
                self._put_away()

    async def _round(self) -> None:
        for _ in range(ROUND):
            action = next(self._schedule)
            began = time.monotonic()
            outcome, took = await self._do(action)
            took = took if took is not None else time.monotonic() - began
            self._node.check_alive()
            self._node.check_exclusive()
            converged = await self._node.converged() if action.waiting and outcome != NOTHING else None
            await self._sample((action.name, outcome, took, converged))
        await self._calm_down()

    async def _sample(self, what: samples.What, *, calm: bool = False) -> None:
        sample = await samples.take(self._node, self._elapsed, what, calm=calm)
        self.samples.append(sample)
        kernel_log.note(
            f"soak {sample.second:.0f} s: {what[0]}: {what[1]}, {what[2]:.2f} s, {sample.rss_mib:.1f} MiB"
        )

    async def _calm_down(self) -> None:
        """End all pods, have all cards, and wait until all is offered; then look."""
        node, began = self._node, time.monotonic()
        for tenant in list(node.tenants):
            node.leave(tenant)
        await node.converged()
        for card in CARDS:
            await self._make_fit(card)
        converged = await node.converged()
        assert node.offered() == dict.fromkeys(RESOURCES, True)
        await asyncio.to_thread(
            kernel.wait_until, lambda: cards.LENT.returned, "the lent card", cards.PATIENCE
        )
        await self._sample(("calm", "all offered", time.monotonic() - began, converged), calm=True)

    async def _make_fit(self, card: Card) -> None:
        if card.gone:
            await asyncio.to_thread(cards.plug, self._monitor, card)
        elif not card.lent and not card.bound:
            await asyncio.to_thread(cards.bind, card)

    async def _do(self, action: Action) -> tuple[str, float | None]:
        """Do one thing; give how it ended, and how long what counts of it took."""
        match action.name:
            case "admit":
                resource = action.pick(list(RESOURCES)) or ""
                return await self._node.admit(resource, holding=action.holding)
            case "end" | "crash":
                tenant = action.pick(self._node.tenants)
                if tenant is None:
                    return NOTHING, None
                self._node.leave(tenant, violently=action.name == "crash")
                return tenant.resource, None
            case "unbind" | "bind" | "pull" | "plug":
                return await self._change(action), None
            case "restart the kubelet":
                await self._node.kubelet.restart()
            case "reload":
                self._node.reload()
            case "kill":
                if self._elapsed > self._seconds * KILLS_UNTIL:
                    return NOTHING, None
                await self._node.kill_plugin()
            case _:
                await asyncio.sleep(5)
        return "done", None

    async def _change(self, action: Action) -> str:
        """Change a card that no pod has anything of, once the plugin has let go of it, too."""
        free = [card for card in CARDS if not self._node.occupants(card)]
        fitting = {
            "unbind": [card for card in free if not card.lent and card.bound],
            "bind": [card for card in free if not card.lent and card.returned],
            "pull": [card for card in free if card.present],
            "plug": [card for card in free if card.gone],
        }
        card = action.pick(fitting[action.name])
        if card is None:
            return NOTHING
        await self._node.converged()
        match action.name:
            case "unbind":
                await asyncio.to_thread(cards.unbind, card)
            case "bind":
                await asyncio.to_thread(cards.bind, card)
            case "pull":
                await asyncio.to_thread(cards.pull, self._monitor, card)
            case _:
                await asyncio.to_thread(cards.plug, self._monitor, card)
        return card.port

    def _put_away(self) -> None:
        for card in CARDS:
            cards.pull(self._monitor, card)
