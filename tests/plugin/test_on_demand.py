"""Devices that are the host's until a pod needs them: the hands write down what they do."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tests.model.factory import make_port
from tests.plugin.factory import card
from tests.plugin.helping import did, hands
from tests.plugin.kubelet.pods import pod
from tests.plugin.owning import owning, tables
from tests.plugin.test_owning import AUDIO, FIRST, GPU, SOUND, two_resources

if TYPE_CHECKING:
    from pathlib import Path

    from vfioctl.model.device import PciDevice
    from vfioctl.plugin.values import Denied, Offer

pytestmark = pytest.mark.slow

WITH_HOST = tuple(
    device._replace(driver=driver, vfio_group_node=None)
    for device, driver in zip(card(1, 1), ("nouveau", "snd_hda_intel"), strict=True)
)
GIVEN = card(1, 1)
ON_DEMAND = 'bind = "on-demand"'


def test_a_container_starts_when_its_devices_are_bound(place: Path) -> None:
    """Allocate names the group's node before it is there; the driver changes before the container starts."""

    async def run() -> None:
        text = two_resources(place, more=ON_DEMAND)
        async with owning(place, text, *WITH_HOST, hands=hands(str(place))) as stage:
            await stage.until_counts(GPU, 1, 1)
            one = await stage.kubelet.admit(pod("vm", {GPU: 1}))
            assert one.active, one.message
            assert did(str(place)) == []
            grant = await stage.kubelet.start_container(one, one.containers[0])
            assert grant is not None, one.containers[0].waiting
            assert [node.host_path for node in grant[GPU].devices] == ["/dev/vfio/vfio", "/dev/vfio/1"]
            assert did(str(place)) == [["bind", FIRST]]
            stage.see(*GIVEN)
            await stage.until(lambda: stage.plugin.supervisor.look.count > 1)
            # A restart: it is bound already.
            assert await stage.kubelet.start_container(one, one.containers[0]) is not None
            assert did(str(place)) == [["bind", FIRST]]
            one.phase = "Succeeded"
            await stage.until_free()
            assert did(str(place)) == [["bind", FIRST], ["give-back", FIRST]]

    asyncio.run(run())


def test_why_a_driver_was_not_changed_shows_in_the_pods_status(place: Path) -> None:
    """The container waits; the kubelet asks again, and each time it is tried again."""

    async def run() -> None:
        (place / "refuse-bind").write_text("0000:01:00.0 has the console")
        text = two_resources(place, more=ON_DEMAND)
        async with owning(place, text, *WITH_HOST, hands=hands(str(place))) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            assert one.containers[0].waiting == (
                "CreateContainerConfigError: rpc error: code = FailedPrecondition"
                " desc = 0000:01:00.0: 0000:01:00.0 has the console"
            )
            (place / "refuse-bind").unlink()
            assert await stage.kubelet.start_container(one, one.containers[0]) is not None
            assert did(str(place)) == [["bind", FIRST]] * 2

    asyncio.run(run())


def test_who_asks_again_waits_for_the_same_change(place: Path) -> None:
    """What was begun is finished, and once, though the kubelet gave up; nothing else stalls."""

    async def run() -> None:
        os.mkfifo(place / "gate-bind")
        text = two_resources(place, more=ON_DEMAND)
        async with owning(place, text, *WITH_HOST, hands=hands(str(place))) as stage:
            stage.kubelet.settings.pre_start = 0.3
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            assert "DeadlineExceeded" in (one.containers[0].waiting or "")
            two = await stage.kubelet.admit(pod("second", {AUDIO: 1}))
            assert two.active, two.message
            await stage.kubelet.until(lambda: did(str(place)))
            asked: list[tuple[str, ...]] = []
            prepare = stage.plugin.rules.prepare

            async def noted(offer: Offer, ids: tuple[str, ...]) -> Denied | None:
                asked.append(ids)
                return await prepare(offer, ids)

            stage.plugin.rules.prepare = noted  # type: ignore[method-assign] # to know that it was asked
            stage.kubelet.settings.pre_start = 20.0
            again = asyncio.create_task(stage.kubelet.start_container(one, one.containers[0]))
            await stage.kubelet.until(lambda: asked)
            await asyncio.to_thread((place / "gate-bind").write_text, "now")
            assert await again is not None
            assert did(str(place)) == [["bind", FIRST]]

    asyncio.run(run())


def test_the_last_of_a_group_gives_everything_back(place: Path) -> None:
    """While the other pod of the window has the sibling, the group stays bound."""

    async def run() -> None:
        text = two_resources(place, more=ON_DEMAND)
        async with owning(place, text, *WITH_HOST, hands=hands(str(place))) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            stage.time.tick()
            two = await stage.kubelet.run(pod("late", {AUDIO: 1}))
            stage.see(*GIVEN)
            await stage.until_state(SOUND, "allocated")
            one.phase = "Succeeded"
            await stage.until(lambda: stage.plugin.keeper.counts.releases == 1)
            assert [what for what, *_ in did(str(place))] == ["bind", "bind"]
            await stage.restart()
            two.phase = "Succeeded"
            await stage.until_free()
            assert did(str(place))[2:] == [["give-back", FIRST, SOUND]]

    asyncio.run(run())


def test_what_the_host_needs_is_not_offered(place: Path) -> None:
    """A bind would be refused: so the kubelet is told before it gives it to anybody."""

    async def run() -> None:
        (place / "needed").write_text(FIRST)
        text = two_resources(place, more=ON_DEMAND)
        async with owning(place, text, *WITH_HOST, hands=hands(str(place)), surveyed=True) as stage:
            await stage.until_reason(FIRST, "host-needs-it")
            await stage.until_counts(GPU, 1, 0)
            await stage.until_counts(AUDIO, 1, 1)
            listed = stage.kubelet.books.resources[GPU]
            listed.healthy, listed.unhealthy = listed.unhealthy, listed.healthy
            one = await stage.kubelet.admit(pod("vm", {GPU: 1}))
            assert "0000:01:00.0 has the root disk (host-needs-it)" in (one.message or "")

    asyncio.run(run())


def test_what_is_bound_at_the_start_is_bound_once(place: Path) -> None:
    """What cannot be bound stays unhealthy, and is not tried for ever."""

    async def run() -> None:
        (place / "refuse-bind").write_text("no")
        text = two_resources(place, more='bind = "at-start"')
        async with owning(place, text, *WITH_HOST, hands=hands(str(place)), at_start=True) as stage:
            await stage.until(lambda: len(did(str(place))) == 2)
            assert stage.plugin.states()[FIRST][2] == "driver-changed"
            for _ in range(5):
                looks = stage.plugin.supervisor.look.count
                stage.plugin.supervisor.poke()
                await stage.until(lambda: stage.plugin.supervisor.look.count > looks)  # noqa: B023 - at once
            assert sorted(did(str(place))) == [["bind", FIRST], ["bind", SOUND]]
            stage.see(*GIVEN)
            await stage.until_counts(GPU, 1, 1)

    asyncio.run(run())


BRIDGE = make_port("0000:00:02.0", driver="shpchp", iommu_group=1)
RELEASED = BRIDGE._replace(driver=None)


def test_without_the_key_a_bridge_on_shpchp_keeps_the_group_from_pods(place: Path) -> None:
    """A bind would be refused: nobody is given what cannot be bound (K19)."""

    async def run() -> None:
        text = two_resources(place, more=ON_DEMAND)
        async with owning(place, text, BRIDGE, *WITH_HOST, hands=hands(str(place))) as stage:
            await stage.until_reason(FIRST, "group-not-viable")
            await stage.until_counts(GPU, 1, 0)

    asyncio.run(run())


def test_with_the_key_a_bridge_is_released_with_the_bind(place: Path) -> None:
    """Also where the functions were bound by hand, and the bridge was left where it was."""

    async def run() -> None:
        text = two_resources(place, more=f"{ON_DEMAND}\nrelease_shpchp = true")
        async with owning(place, text, BRIDGE, *WITH_HOST, hands=hands(str(place))) as stage:
            await stage.until_counts(GPU, 1, 1)
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            assert one.active, one.message
            assert did(str(place)) == [["bind, bridges too", FIRST]]
            stage.see(BRIDGE, *GIVEN)
            await stage.until(lambda: stage.plugin.supervisor.look.count > 1)
            assert await stage.kubelet.start_container(one, one.containers[0]) is not None
            assert did(str(place)) == [["bind, bridges too", FIRST]] * 2
            stage.see(RELEASED, *GIVEN)
            await stage.until(lambda: stage.plugin.supervisor.look.count > 2)
            assert await stage.kubelet.start_container(one, one.containers[0]) is not None
            assert did(str(place)) == [["bind, bridges too", FIRST]] * 2

    asyncio.run(run())


@pytest.mark.parametrize("devices", [WITH_HOST, GIVEN])
def test_at_the_start_a_bridge_is_released_too(place: Path, devices: tuple[PciDevice, ...]) -> None:
    """Whether the functions are to be bound or are already."""

    async def run() -> None:
        text = two_resources(place, more='bind = "at-start"\nrelease_shpchp = true')
        async with owning(place, text, BRIDGE, *devices, hands=hands(str(place)), at_start=True) as stage:
            await stage.until(lambda: len(did(str(place))) == 2)
            assert sorted(did(str(place))) == [["bind, bridges too", FIRST], ["bind, bridges too", SOUND]]
            stage.see(RELEASED, *GIVEN)
            await stage.until_counts(GPU, 1, 1)

    asyncio.run(run())


def program(place: Path, text: str, mode: int = 0o700) -> str:
    """Make a program."""
    path = place / "wipe"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return str(path)


@pytest.mark.skipif(os.getuid() != 0, reason="a program must be root's")
def test_on_release_everything_is_done_in_its_order(place: Path) -> None:
    """Until the program has succeeded nobody gets the device; then the next pod does."""

    async def run() -> None:
        wipe = program(place, f'test -e {place}/may || {{ echo "not yet"; exit 3; }}; env > {place}/env')
        more = f'on_release = ["reset", "{wipe}"]'
        text = tables(place, f'name = "{GPU}"\nselect = ["10de:2204"]\n{more}')
        async with owning(place, text, *GIVEN, hands=hands(str(place))) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            await stage.until_state(FIRST, "allocated")
            one.phase = "Succeeded"
            await stage.until_reason(FIRST, "group-in-use")
            two = await stage.kubelet.admit(pod("next", {GPU: 1}))
            assert two.phase == "Failed"
            await stage.until(lambda: did(str(place)) == [["reset", FIRST]])
            (place / "may").touch()
            await stage.until_free()
            told = dict(line.partition("=")[::2] for line in (place / "env").read_text().splitlines())
            assert told["VFIOCTL_ADDRESSES"] == FIRST
            assert told["VFIOCTL_POD"] == "default/vm"
            assert "PYTEST_CURRENT_TEST" not in told

    asyncio.run(run())
