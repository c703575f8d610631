"""Where the kubelet streams its pods, a pod's own spec says whose an Allocate is, and not the time."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.plugin.factory import card
from tests.plugin.kubelet.pods import Pod, pod
from tests.plugin.owning import Stage, owning
from tests.plugin.test_arbiter import AUDIO as SOUNDS
from tests.plugin.test_arbiter import BOTH, CARD, NOW, SECOND, SOUND, VM, ledger, listed, reasons
from tests.plugin.test_arbiter import GPU as CARDS
from tests.plugin.test_owning import AUDIO, FIRST, GPU, two_resources
from tests.plugin.test_owning import SOUND as SOUND_ID
from vfioctl.plugin.arbiter import refuse
from vfioctl.plugin.claimed import Claims
from vfioctl.plugin.claims import SETTLE, Ledger
from vfioctl.plugin.keeper import Keeper
from vfioctl.plugin.specs import ADMISSION, PodSpec, Specs, wanted
from vfioctl.plugin.succession import reserve

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from vfioctl.plugin.values import Item

BOTH_OF_A_CARD = PodSpec("u1", VM.of_pod, ((SOUNDS, 1), (CARDS, 1)))
ONLY_THE_CARD = PodSpec("u1", VM.of_pod, ((CARDS, 1),))
ANOTHER = PodSpec("u2", ("ns", "other"), ((SOUNDS, 1), (CARDS, 1)))


def told(*pods: PodSpec) -> Ledger:
    """Return a ledger of which the kubelet streams these pods."""
    return ledger()._replace(specs=Specs(pods))


def given(found: Ledger, items: Iterable[Item], now: float) -> Ledger:
    """Grant items, as the keeper does."""
    keeper = Keeper(clock=lambda: now)
    keeper.ledger = found
    keeper.reserve(items)
    return keeper.ledger


def test_what_the_pod_still_wants_stays_offered_however_long_its_admission_takes() -> None:
    """Another plugin's slow Allocate comes between: the window would be over."""
    found = given(told(BOTH_OF_A_CARD), [CARD], NOW)
    assert reasons(found, NOW + SETTLE + 5)[SOUND.id] is None
    assert refuse(found, [SOUND], BOTH, NOW + SETTLE + 5) is None
    both = given(found, [SOUND], NOW + SETTLE + 5)
    assert [one.pod for one in both.specs.given] == [VM.of_pod] * 2


def test_an_admission_does_not_take_for_ever() -> None:
    """Then it is as if the pod wanted no more."""
    found = given(told(BOTH_OF_A_CARD), [CARD], NOW)
    assert reasons(found, NOW + ADMISSION)[SOUND.id] == "group-in-use"
    assert refuse(found, [SOUND], BOTH, NOW + ADMISSION) is not None


def test_what_the_pod_does_not_want_is_nobodys_at_once() -> None:
    """No window: whoever asks is somebody else."""
    found = given(told(ONLY_THE_CARD), [CARD], NOW)
    assert reasons(found, NOW)[SOUND.id] == "group-in-use"
    assert refuse(found, [SOUND], BOTH, NOW) is not None


def test_what_a_pod_has_already_it_does_not_want_again() -> None:
    """Listed or reserved: both count."""
    found = given(told(BOTH_OF_A_CARD), [CARD], NOW)
    found = given(found, [SOUND], NOW)
    assert refuse(found, [SECOND], BOTH, NOW) is None
    two = SECOND._replace(group=1, groups=(1,))
    assert refuse(found, [two], BOTH, NOW) is not None
    found = listed(found, {CARD: VM, SOUND: VM}, NOW + 1)
    assert refuse(found, [two], BOTH, NOW + 1) is not None


def test_the_window_is_for_what_is_not_told() -> None:
    """No stream, a pod that is not in it yet, or several that may have asked."""
    for found in (told(), told(BOTH_OF_A_CARD, ANOTHER)):
        taken = given(found, [CARD], NOW)
        assert taken.specs.given == ()
        assert refuse(taken, [SOUND], BOTH, NOW + SETTLE - 0.1) is None
        assert refuse(taken, [SOUND], BOTH, NOW + SETTLE) is not None


def test_the_kubelets_list_tells_whose_it_is() -> None:
    """Two pods might have asked; then one is listed, and wants the rest of its card."""
    found = listed(given(told(BOTH_OF_A_CARD, ANOTHER), [CARD], NOW), {CARD: VM}, NOW + 1)
    assert refuse(found, [SOUND], BOTH, NOW + SETTLE + 1) is None
    done = listed(given(found, [SOUND], NOW + 2), {CARD: VM, SOUND: VM}, NOW + 3)
    assert done.specs.given[-1].pod == VM.of_pod


def test_what_was_noted_of_an_allocate_goes_with_its_claim() -> None:
    """Of the next one of the same item nothing is known by it."""
    found = given(told(ONLY_THE_CARD), [CARD], NOW)
    assert len(found.specs.given) == 1
    again = found._replace(claims=Claims(), specs=found.specs._replace(pods=(ONLY_THE_CARD,)))
    assert [one.since for one in given(again, [CARD], NOW + 9).specs.given] == [NOW + 9]
    silent = again._replace(specs=found.specs._replace(pods=()))
    assert given(silent, [CARD], NOW + 9).specs == silent.specs
    assert reserve(found, [CARD], NOW + 1).specs == found.specs


@pytest.mark.parametrize(
    ("containers", "inits", "expected"),
    [
        ([{"a": 1}, {"a": 2}], [], {"a": 3}),
        ([{"a": 1}], [({"a": 1}, False)], {"a": 1}),
        ([{"a": 1}], [({"a": 3}, False), ({"a": 2}, False)], {"a": 3}),
        ([{"a": 1}], [({"a": 1}, True)], {"a": 2}),
        ([{"b": 1}], [({"a": 1}, True), ({"a": 2}, False)], {"a": 3, "b": 1}),
        ([], [], {}),
    ],
)
def test_what_a_pod_wants_in_all(
    containers: list[dict[str, int]], inits: list[tuple[dict[str, int], bool]], expected: dict[str, int]
) -> None:
    """As the scheduler counts it: init containers come one after the other, and some stay."""
    found = wanted(map(Counter, containers), ((Counter(asked), stays) for asked, stays in inits))
    assert dict(found) == expected


async def slow(stage: Stage, one: Pod, seconds: float) -> Pod:
    """Admit a pod while each Allocate of it takes so long."""
    keeper = stage.plugin.keeper
    reserve_at_once = keeper.reserve

    def reserve_slowly(items: Iterable[Item]) -> None:
        reserve_at_once(items)
        stage.time.now += seconds

    keeper.reserve = reserve_slowly  # type: ignore[method-assign] # what comes between two calls
    try:
        return await stage.kubelet.admit(one)
    finally:
        del keeper.reserve


@pytest.mark.slow
@pytest.mark.parametrize("streams", [True, False])
def test_a_slow_admission_is_no_other_pod(place: Path, streams: bool) -> None:
    """Where only time can tell, it tells wrongly."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1), streams_pods=streams) as stage:
            one = pod("vm", {GPU: 1, AUDIO: 1}, init_first={GPU: 1})
            if streams:
                await stage.announced(one)
            await slow(stage, one, SETTLE + 1)
            assert one.active == streams, one.message
            if streams:
                await stage.until_state(FIRST, "allocated")
                await stage.until_state(SOUND_ID, "allocated")
                assert stage.plugin.keeper.counts.group_conflicts == 0
            one.phase = "Succeeded"
            await stage.until_free()

    asyncio.run(run())


@pytest.mark.slow
def test_another_pod_is_told_apart_inside_the_window(place: Path) -> None:
    """It would be granted, and reported: see `test_two_pods_inside_the_window_are_reported`."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1), streams_pods=True) as stage:
            one = await stage.kubelet.run(await stage.announced(pod("vm", {GPU: 1})))
            assert one.active, one.message
            began = stage.time.now
            await stage.kubelet.until(lambda: stage.plugin.states()[SOUND_ID][2] == "group-in-use")
            late = await stage.kubelet.admit(await stage.announced(pod("late", {AUDIO: 1})))
            assert late.phase == "Failed"
            assert stage.time.now == began, "no time went by"
            one.phase = "Succeeded"
            await stage.until_free()
            next_ = await stage.kubelet.admit(await stage.announced(pod("next", {AUDIO: 1})))
            assert next_.active, next_.message

    asyncio.run(run())


@pytest.mark.slow
def test_pods_that_end_or_a_stream_that_ends_are_forgotten(place: Path) -> None:
    """What is not told any more does not count."""

    async def run() -> None:
        async with owning(place, two_resources(place), *card(1, 1), streams_pods=True) as stage:

            def known() -> set[str]:
                return {spec.name[1] for spec in stage.plugin.keeper.ledger.specs.pods}

            one = await stage.announced(pod("vm", {GPU: 1, AUDIO: 1}))
            gone = await stage.announced(pod("gone", {AUDIO: 2}))
            spec = next(spec for spec in stage.plugin.keeper.ledger.specs.pods if spec.uid == one.uid)
            assert spec.wants == ((AUDIO, 1), (GPU, 1))
            stage.kubelet.announce(pod("other", {"memory": 1}))
            one.phase = "Failed"
            await stage.kubelet.until(lambda: known() == {"gone"})
            del stage.kubelet.pods[gone.uid]
            await stage.kubelet.until(lambda: known() == set())
            await stage.announced(pod("last", {GPU: 1}))
            await stage.kubelet.stop()
            await stage.kubelet.until(lambda: known() == set())

    asyncio.run(run())
