"""Groups that are shared, over real sockets: who gets what, who is refused, and when it is free again."""

from __future__ import annotations

import asyncio
import os
from random import Random
from typing import TYPE_CHECKING

import grpc.aio
import pytest

from tests.plugin.factory import card, given
from tests.plugin.helping import did, hands
from tests.plugin.kubelet.places import told
from tests.plugin.kubelet.pods import pod
from tests.plugin.owning import TICK, Stage, owning, tables
from tests.plugin.scene import sockets
from vfioctl.errors import VfioctlError
from vfioctl.plugin.api import pods_pb2, pods_pb2_grpc
from vfioctl.plugin.claims import GRACE
from vfioctl.plugin.farewells import EAGER, UNSEEN
from vfioctl.plugin.keeper import Keeper
from vfioctl.plugin.troubles import Source
from vfioctl.sysfs.openers import Opener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.plugin.kubelet.pods import Pod

pytestmark = pytest.mark.slow

GPU, AUDIO = "v.io/gpu", "v.io/audio"
FIRST, SOUND, SECOND, OTHER = "0000:01:00.0", "0000:01:00.1", "0000:02:00.0", "0000:02:00.1"
CARDS = (*card(1, 1), *card(2, 2))


def two_resources(folder: object, mode: str = "same-pod", more: str = "") -> str:
    """Return the configuration that every operator writes first: GPUs here, their audio functions there."""
    return tables(
        folder,
        f'name = "{GPU}"\nselect = ["10de:2204"]\nshared_group = "{mode}"\n{more}',
        f'name = "{AUDIO}"\nselect = ["10de:1aef"]\nshared_group = "{mode}"\n{more}',
    )


async def end(stage: Stage, one: Pod) -> None:
    """End a pod, and wait until all is free."""
    one.phase = "Succeeded"
    await stage.until_free()


def seed_for(order: tuple[str, str]) -> int:
    """Return with which seed the kubelet asks in this order."""
    for seed in range(100):
        names = [GPU, AUDIO]
        Random(seed).shuffle(names)  # noqa: S311 - an order
        if tuple(names) == order:
            return seed
    raise AssertionError(order)


@pytest.mark.parametrize("order", [(GPU, AUDIO), (AUDIO, GPU)])
def test_one_pod_gets_both_functions_in_either_order(place: Path, order: tuple[str, str]) -> None:
    """The kubelet asks for a container's resources in no order; the audio function is that of the card."""

    async def run() -> None:
        async with owning(place, two_resources(place), *CARDS, seed=seed_for(order)) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1, AUDIO: 1}))
            assert one.active, one.message
            held = stage.kubelet.books.bookings[one.uid, "main"]
            (gpu,), (audio,) = held[GPU].ids, held[AUDIO].ids
            assert gpu[:-1] == audio[:-1]
            await stage.until_state(gpu, "allocated")
            assert stage.plugin.states()[audio] == ("allocated", "default/vm (container main)", None)
            assert stage.plugin.keeper.counts.group_conflicts == 0
            await end(stage, one)
            assert stage.plugin.keeper.counts.releases == 2

    asyncio.run(run())


@pytest.mark.parametrize("registration", ["kubelet", "watcher"])
def test_a_kubelet_with_another_root_directory_takes_plugins_where_all_do(
    place: Path, registration: str
) -> None:
    """As k0s has it: only what pods have, and the watcher's folder, are below its own (kubelet.md 2.1)."""
    root, plugins = str(place / "root"), str(place / "plugins")
    places = f'kubelet_dir = "{root}"\ndevice_plugins_dir = "{plugins}"\nregistration = "{registration}"\n'
    text = two_resources(root).replace(told(root), f"[plugin]\n{places}")

    async def run() -> None:
        async with owning(root, text, *CARDS, plugins=plugins, streams_pods=True) as stage:
            served = {"kubelet": plugins, "watcher": f"{root}/plugins_registry"}
            assert {name: len(sockets(folder)) for name, folder in served.items()} == {
                name: 2 if name == registration else 0 for name in served
            }
            one = await stage.kubelet.run(pod("vm", {GPU: 1, AUDIO: 1}))
            (gpu,) = stage.kubelet.books.bookings[one.uid, "main"][GPU].ids
            await stage.until_state(gpu, "allocated")
            await end(stage, one)
            assert stage.plugin.minder.troubles.now() == ()

    asyncio.run(run())


@pytest.mark.parametrize(("mine", "others"), [(GPU, AUDIO), (AUDIO, GPU)])
def test_the_other_function_is_nobody_elses(place: Path, mine: str, others: str) -> None:
    """Both orders: after the window the sibling is unhealthy, and free again when the pod has ended."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            one = await stage.kubelet.run(pod("vm", {mine: 1}))
            sibling = SOUND if mine == GPU else FIRST
            await stage.until_reason(sibling, "group-in-use")
            await stage.until_counts(others, 1, 0)
            await stage.until_counts(mine, 1, 1)
            two = await stage.kubelet.admit(pod("late", {others: 1}))
            assert "no healthy devices present" in (two.message or "")
            await end(stage, one)
            await stage.until_counts(others, 1, 1)
            three = await stage.kubelet.admit(pod("next", {others: 1}))
            assert three.active, three.message

    asyncio.run(run())


def test_allocate_looks_once_more(place: Path) -> None:
    """A kubelet whose list is on its way is refused, with the group, the owner and the address."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            await stage.until_state(FIRST, "allocated")
            await stage.until_reason(SOUND, "group-in-use")
            # As if the list had not come yet.
            listed = stage.kubelet.books.resources[AUDIO]
            listed.healthy, listed.unhealthy = listed.unhealthy, listed.healthy
            two = await stage.kubelet.admit(pod("late", {AUDIO: 1}))
            assert two.reason == "UnexpectedAdmissionError"
            assert two.message is not None
            for word in ("FailedPrecondition", "IOMMU group 1", "default/vm", FIRST, "group-in-use"):
                assert word in two.message
            assert one.active

    asyncio.run(run())


def test_two_pods_inside_the_window_are_reported(place: Path) -> None:
    """It cannot be known in time whose the second call is: the later pod is named."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            await stage.kubelet.run(pod("vm", {GPU: 1}))
            stage.time.tick()
            two = await stage.kubelet.run(pod("late", {AUDIO: 1}))
            assert two.active
            await stage.until(lambda: stage.plugin.keeper.counts.group_conflicts == 1)
            note = stage.plugin.table()[SOUND].note
            assert note is not None
            assert "default/late (container main) was given 0000:01:00.1" in note
            assert set(stage.plugin.states().values()) == {
                ("allocated", "default/vm (container main)", None),
                ("allocated", "default/late (container main)", None),
            }

    asyncio.run(run())


def test_exclusive_has_no_window(place: Path) -> None:
    """The pod that asks for both is refused too: that is what the mode says."""

    async def run() -> None:
        async with owning(place, two_resources(place, "exclusive"), *card(1, 1)) as stage:
            both = await stage.kubelet.run(pod("vm", {GPU: 1, AUDIO: 1}))
            assert both.phase == "Failed"
            await stage.until_free()
            await stage.until_counts(GPU, 1, 1)
            one = await stage.kubelet.run(pod("alone", {GPU: 1}))
            assert one.active, one.message
            await stage.until_counts(AUDIO, 1, 0)

    asyncio.run(run())


def test_refuse_offers_nothing_of_a_group_that_is_spread(place: Path) -> None:
    """Not in this resource and not in another one."""

    async def run() -> None:
        alone = given("0000:03:00.0", 3, vendor_id=0x10DE, device_id=0x2204)
        async with owning(place, two_resources(place, "refuse"), *card(1, 1), alone) as stage:
            assert list(stage.plugin.states()) == ["0000:03:00.0"]

    asyncio.run(run())


def test_six_identical_cards_in_one_group(place: Path) -> None:
    """All six are there; one pod takes what it wants of them, and the rest is nobody else's."""

    async def run() -> None:
        six = [given(f"0000:0{bus}:00.0", 7) for bus in range(1, 7)]
        text = tables(place, 'name = "v.io/nic"\nselect = ["8086:10e8"]')
        async with owning(place, text, *six) as stage:
            await stage.until_counts("v.io/nic", 6, 6)
            one = await stage.kubelet.run(pod("vm", {"v.io/nic": 4}))
            assert one.active, one.message
            await stage.until_counts("v.io/nic", 6, 4)
            late = await stage.kubelet.run(pod("late", {"v.io/nic": 1}))
            assert late.phase == "Failed"
            await end(stage, one)
            await stage.until_counts("v.io/nic", 6, 6)

    asyncio.run(run())


def test_a_pod_that_follows_at_once_gets_the_card(place: Path) -> None:
    """The kubelet gives its devices anew before they are released: a StatefulSet's pod, say."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            for number in range(3):
                one = await stage.kubelet.run(pod("vm", {GPU: 1, AUDIO: 1}))
                assert one.active, (number, one.message)
                await stage.until_state(FIRST, "allocated")
                await stage.until_state(SOUND, "allocated")
                one.phase = "Succeeded"
            assert stage.plugin.keeper.counts.group_conflicts == 0

    asyncio.run(run())


def test_init_containers_are_not_somebody_else(place: Path) -> None:
    """The same ids come twice; and a second container of the pod may have the sibling."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}, init_first={GPU: 1}, second={AUDIO: 1}))
            assert one.active, one.message
            await stage.until_state(SOUND, "allocated")
            assert stage.plugin.keeper.counts.group_conflicts == 0

    asyncio.run(run())


def test_what_a_rejected_pod_had_comes_back(place: Path) -> None:
    """It was reserved, and is never listed."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            rejected = await stage.kubelet.admit(pod("vm", {GPU: 1, "v.io/nowhere": 1}))
            assert rejected.phase == "Failed"
            await stage.until_free()

    asyncio.run(run())


def test_a_device_is_in_use_while_its_group_is_open_and_leaks_after(place: Path) -> None:
    """Booked and used are two things; what is open without a pod is offered to nobody."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            stage.host.openers = (Opener(1, 4711, "qemu"),)
            await stage.until_state(FIRST, "in-use")
            one.phase = "Succeeded"
            await stage.until_reason(FIRST, "group-in-use")
            await stage.until_counts(GPU, 1, 0)
            await stage.until(lambda: "leak: pid 4711 (qemu)" in (stage.plugin.table()[FIRST].note or ""))
            stage.host.openers = ()
            await stage.until_free()

    asyncio.run(run())


@pytest.mark.parametrize("late", [0.0, 0.3, 2.5])
def test_when_a_process_ends_its_pods_end_is_soon_known(place: Path, late: float) -> None:
    """Within a second of the pod's end, not within five; then ten seconds of absence are waited for."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            stage.host.openers = (Opener(1, 4711, "qemu"),)
            await stage.until_state(FIRST, "in-use")
            ended = stage.time.now
            stage.host.end(4711)
            await stage.until(lambda: stage.time.now >= ended + late)
            one.phase = "Succeeded"
            gone = stage.time.now
            await stage.until_state(FIRST, "draining")
            noticed = stage.time.now
            await stage.until_free()
            assert noticed - gone < EAGER + 3 * TICK
            assert GRACE <= stage.time.now - gone < GRACE + EAGER + 5 * TICK

    asyncio.run(run())


def test_a_pod_without_a_process_is_released_as_soon_as_one_that_had_one(place: Path) -> None:
    """Whose process was never seen, or cannot be: two seconds, and ten."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            await stage.until_state(FIRST, "allocated")
            one.phase = "Succeeded"
            gone = stage.time.now
            await stage.until_free()
            assert GRACE <= stage.time.now - gone < GRACE + UNSEEN + 5 * TICK

    asyncio.run(run())


def test_a_process_that_outlives_its_pod_is_released_at_its_end(place: Path) -> None:
    """The ten seconds are long over then: nothing but the process was waited for."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            stage.host.openers = (Opener(1, 4711, "qemu"),)
            await stage.until_state(FIRST, "in-use")
            one.phase = "Succeeded"
            await stage.until_reason(FIRST, "group-in-use")
            stage.host.end(4711)
            # No time goes by.
            await stage.kubelet.until(lambda: stage.plugin.states()[FIRST] == ("free", None, None))

    asyncio.run(run())


def test_a_stranger_has_the_group_as_long_as_its_process_has_it_open(place: Path) -> None:
    """Seen in a look at the host; that it is gone is seen sooner than at the next look."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            stage.host.openers = (Opener(1, 4711, "qemu"),)
            stage.host.view = stage.host.view._replace(openers=stage.host.openers)
            stage.plugin.supervisor.poke()
            await stage.until_counts(GPU, 1, 0)
            await stage.until_counts(AUDIO, 1, 0)
            assert stage.plugin.table()[FIRST].note == "pid 4711 (qemu)"
            stage.host.end(4711)
            # No time goes by: its end is heard of.
            await stage.kubelet.until(lambda: stage.kubelet.books.counts(GPU) == (1, 1))
            await stage.until_free()

    asyncio.run(run())


def test_a_device_that_goes_while_a_pod_has_it_stays_listed_until_the_pod_ends(place: Path) -> None:
    """Left out of the list it would be healthy for the kubelet; it goes with its pod."""

    async def run() -> None:
        async with owning(place, two_resources(place), *CARDS) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            (held,) = stage.kubelet.books.bookings[one.uid, "main"][GPU].ids
            stage.see(*(device for device in CARDS if str(device.address) != held))
            await stage.until_reason(held, "missing")
            await stage.until_counts(GPU, 2, 1)
            await stage.restart()
            await stage.until_reason(held, "missing")
            one.phase = "Succeeded"
            await stage.until(lambda: stage.plugin.states()[held][0] == "free")
            stage.see(*CARDS)
            await stage.until_free()

    asyncio.run(run())


@pytest.mark.parametrize("state", ["free", "reserved", "allocated", "in-use", "draining"])
def test_after_sigkill_everybody_owns_what_they_owned(place: Path, state: str) -> None:
    """The file and the kubelet's list together say what the table said."""

    async def run() -> None:
        async with owning(place, two_resources(place), *CARDS) as stage:
            item = FIRST
            one = None
            if state != "free":
                one = await stage.kubelet.run(pod("vm", {GPU: 1, AUDIO: 1}))
                (item,) = stage.kubelet.books.bookings[one.uid, "main"][GPU].ids
            if state == "in-use":
                stage.host.openers = (Opener(1, 7, "qemu"), Opener(2, 8, "qemu"))
            if state == "draining":
                await stage.until_state(item, "allocated")
                assert one is not None
                one.phase = "Succeeded"
            await stage.until_state(item, state)
            before = stage.plugin.states()
            claims = stage.plugin.keeper.ledger.claims
            await stage.plugin.kill()
            assert Keeper(f"{stage.folder}/claims.json", "boot", stage.time).ledger.claims == claims
            await stage.restart()
            if state in {"reserved", "draining"}:
                # Time goes on: it may have come one step further.
                after = stage.plugin.states()
                assert after.keys() == before.keys()
                assert after[item][1] in {before[item][1], "default/vm (container main)", None}
            else:
                await stage.until(lambda: stage.plugin.states() == before)
            stage.host.openers = ()
            if one is not None:
                one.phase = "Succeeded"
            await stage.until_free()

    asyncio.run(run())


def test_after_sigkill_what_was_being_done_on_release_is_done_again(place: Path) -> None:
    """Nobody gets the device before; whoever was at it may have been half way."""

    async def run() -> None:
        gate = place / "gate-reset"
        os.mkfifo(gate)
        text = two_resources(place, more='on_release = ["reset"]')
        async with owning(place, text, *card(1, 1), hands=hands(str(place))) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            await stage.until_state(FIRST, "allocated")
            one.phase = "Succeeded"
            await stage.until(lambda: did(str(place)) == [["reset", FIRST]])
            before = stage.plugin.states()
            assert before[FIRST] == ("draining", "default/vm (container main)", "group-in-use")
            await stage.plugin.kill()
            await stage.restart()
            await stage.until(lambda: did(str(place)) == [["reset", FIRST]] * 2)
            await stage.kubelet.until(lambda: stage.plugin.states() == before)
            await asyncio.to_thread(gate.write_text, "now")
            gate.unlink()
            await stage.until_free()

    asyncio.run(run())


def test_a_kubelet_that_returns_changes_no_owner(place: Path) -> None:
    """What is allocated stays allocated, and is released when its pod ends."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            await stage.until_state(FIRST, "allocated")
            await stage.kubelet.restart()
            await stage.until(lambda: stage.plugin.supervisor.ready)
            await stage.until(lambda: stage.plugin.keeper.ledger.renewed is not None)
            assert stage.plugin.states()[FIRST][0] == "allocated"
            await stage.until_counts(AUDIO, 1, 0)
            assert one.active

    asyncio.run(run())


def test_a_plugin_of_which_nobody_has_anything_asks_nobody(place: Path) -> None:
    """Once at the start, and again only when something is allocated."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            asked = stage.plugin.minder.questions
            for _ in range(1000):
                stage.time.tick()
                await asyncio.sleep(0)
            assert stage.plugin.minder.questions == asked
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            await stage.until(lambda: stage.plugin.minder.questions > asked)
            await end(stage, one)

    asyncio.run(run())


class _Pods(pods_pb2_grpc.PodsServicer):
    """The kubelet's stream of pods, where it is switched on."""

    def __init__(self) -> None:
        self.watched = asyncio.Event()
        self.changed = asyncio.Event()

    async def WatchPods(  # noqa: N802 - the protocol's name
        self, request: pods_pb2.WatchPodsRequest, context: object
    ) -> AsyncIterator[pods_pb2.WatchPodsEvent]:
        del request, context
        self.watched.set()
        while True:
            await self.changed.wait()
            self.changed.clear()
            yield pods_pb2.WatchPodsEvent(type=pods_pb2.MODIFIED)


def test_a_kubelet_that_streams_its_pods_is_asked_when_one_has_changed(place: Path) -> None:
    """No time goes by here: nothing but the event can have told."""

    async def run() -> None:
        (place / "pods").mkdir()
        server, pods = grpc.aio.server(), _Pods()  # type: ignore[abstract] # only this is asked
        pods_pb2_grpc.add_PodsServicer_to_server(pods, server)
        server.add_insecure_port(f"unix:{place}/pods/kubelet.sock")
        await server.start()
        try:
            async with owning(place, two_resources(place), *card(1, 1)) as stage:
                await asyncio.wait_for(pods.watched.wait(), 10)
                one = await stage.kubelet.run(pod("vm", {GPU: 1}))
                await stage.until_state(FIRST, "allocated")
                one.phase = "Succeeded"
                pods.changed.set()
                await stage.kubelet.until(lambda: stage.plugin.states()[FIRST][0] == "draining")
                await stage.until_free()
        finally:
            await server.stop(None)

    asyncio.run(run())


def test_while_the_kubelet_does_not_say_nothing_is_released(place: Path) -> None:
    """And it is said once that it does not."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            await stage.until_state(FIRST, "allocated")
            await stage.kubelet.stop()
            asked = stage.plugin.minder.questions
            await stage.until(lambda: stage.plugin.minder.questions > asked + 5)
            (trouble,) = stage.plugin.minder.troubles.now()
            assert trouble.source == Source.PODS
            assert trouble.seconds > 5 * UNSEEN - 1
            assert stage.plugin.states()[FIRST][0] == "allocated"
            one.phase = "Succeeded"
            await stage.kubelet.start()
            await stage.until_free()
            assert stage.plugin.minder.troubles.now() == ()

    asyncio.run(run())


def test_while_open_nodes_cannot_be_looked_for_it_is_said(place: Path) -> None:
    """The kubelet answers meanwhile, so that it is known what pods have; nothing is released unseen."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1)) as stage:
            one = await stage.kubelet.run(pod("vm", {GPU: 1}))
            await stage.until_state(FIRST, "allocated")
            stage.host.look_error = VfioctlError("/proc is not to be read", hint="")
            one.phase = "Succeeded"
            await stage.until(stage.plugin.minder.troubles.now)
            (trouble,) = stage.plugin.minder.troubles.now()
            assert (trouble.source, trouble.error) == (Source.OPEN_NODES, "/proc is not to be read")
            asked = stage.plugin.minder.questions
            await stage.until(lambda: stage.plugin.minder.questions > asked + 5)
            assert stage.plugin.states()[FIRST][0] == "draining"
            stage.host.look_error = None
            await stage.until_free()
            assert stage.plugin.minder.troubles.now() == ()

    asyncio.run(run())
