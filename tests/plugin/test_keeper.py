"""The ledger outlives the process that kept it, and no longer than the boot; what is wrong is said once."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from tests.model.factory import at
from vfioctl.plugin.claims import Claim, Owner
from vfioctl.plugin.keeper import Keeper
from vfioctl.plugin.values import Item, Offer
from vfioctl.sysfs.openers import Opener

if TYPE_CHECKING:
    from pathlib import Path

    from vfioctl.plugin.claims import Key

GPU = Item("0000:01:00.0", "v.io/gpu", (at("0000:01:00.0"),), (), 1, None, (1,))
AUDIO = Item("0000:01:00.1", "v.io/audio", (at("0000:01:00.1"),), (), 1, None, (1,))
OFFERS = (Offer("v.io/gpu", (GPU,)), Offer("v.io/audio", (AUDIO,)))
VM, OTHER = Owner("ns", "vm", "compute"), Owner("ns", "other", "compute")


class Clock:
    """A clock that is told."""

    now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def told(keeper: Keeper, listed: dict[Key, Owner], asked: float) -> None:
    """Have it note all of a list."""
    for _ in keeper.observing(listed, asked):
        pass


def test_every_claim_survives_a_kill(tmp_path: Path) -> None:
    """Reserved, listed, absent, bound: nothing of it is in the kubelet's list, or not yet."""
    path = str(tmp_path / "claims.json")
    clock = Clock()
    keeper = Keeper(path, "boot", clock)
    keeper.arbitrate(OFFERS, {})
    keeper.reserve([GPU, AUDIO])
    clock.now = 105.0
    told(keeper, {("v.io/gpu", GPU.id): VM}, 104.0)
    keeper.change(keeper.ledger.claims[1], bound=GPU.members)
    assert {claim.absent for claim in keeper.ledger.claims} == {None, 105.0}
    assert Keeper(path, "boot", clock).ledger.claims == keeper.ledger.claims
    assert stat.S_IMODE((tmp_path / "claims.json").stat().st_mode) == 0o600
    assert not Keeper(path, "another boot", clock).ledger.claims


def test_what_was_being_cleaned_up_is_begun_anew(tmp_path: Path) -> None:
    """Whoever was at it has ended with the plugin."""
    path = str(tmp_path / "claims.json")
    keeper = Keeper(path, "boot")
    keeper.reserve([GPU])
    keeper.change(keeper.ledger.claims[0], cleaning=True)
    assert not Keeper(path, "boot").ledger.claims[0].cleaning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"schema": 2}\n',
        '{"schema": 2, "boot_id": "boot"}\n',
        '{"schema": 2, "boot_id": "boot", "renewed": "today"}\n',
        '{"schema": 2, "boot_id": "boot", "renewed": null}',
        '{"schema": 2, "boot_id": "boot", "renewed": null}\n{"claim": {}}\n',
        '{"schema": 2, "boot_id": "boot", "renewed": null}\n[]\n',
        "\0",
    ],
)
def test_a_damaged_file_is_said_and_passed_over(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The kubelet will say what it knows; until then nothing is decided."""
    path = tmp_path / "claims.json"
    path.write_text(text)
    assert not Keeper(str(path), "boot").ledger.claims
    assert "not known until the kubelet says" in caplog.text


def test_a_place_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The plugin goes on."""
    keeper = Keeper(str(tmp_path / "nowhere" / "claims.json"), "boot")
    keeper.reserve([GPU])
    keeper.reserve([AUDIO])
    assert len(keeper.ledger.claims) == 2
    assert caplog.text.count("is not kept") == 1


def test_a_claim_that_was_made_anew_meanwhile_is_left_alone() -> None:
    """What is done on release takes a while."""
    clock = Clock()
    keeper = Keeper(clock=clock)
    keeper.reserve([GPU])
    old = keeper.ledger.claims[0]
    clock.now += 1
    keeper.reserve([GPU])
    keeper.end(old)
    assert [claim.since for claim in keeper.ledger.claims] == [clock.now]


def test_other_plugins_devices_are_nothing_to_us() -> None:
    """The kubelet lists everybody's."""
    keeper = Keeper()
    keeper.arbitrate(OFFERS, {})
    told(keeper, {("nvidia.com/gpu", "GPU-1"): VM, ("v.io/gpu", GPU.id): VM}, keeper.clock())
    assert list(keeper.ledger.claims) == [Claim("v.io/gpu", GPU.id, (1,), GPU.members, owner=VM)]


def test_what_is_claimed_between_two_parts_of_a_list_is_later_than_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of thousands the list is noted in parts, and calls are answered in between."""
    monkeypatch.setattr("vfioctl.plugin.keeper._PART", 1)
    clock = Clock()
    keeper = Keeper(clock=clock)
    keeper.arbitrate(OFFERS, {})
    keeper.reserve([GPU])
    keeper.reserve([AUDIO])
    clock.now += 5
    parts = keeper.observing({}, clock.now)
    next(parts)
    assert keeper.ledger.quiet(clock.now)
    (gone,) = [claim for claim in keeper.ledger.claims if claim.absent is not None]
    (other,) = [item for item in (GPU, AUDIO) if item.id != gone.id]
    ended = keeper.ledger.claim((gone.resource, gone.id))
    assert ended is not None
    clock.now += 0.01
    keeper.reserve([other])
    keeper.end(ended)
    assert list(parts) == [None]
    assert not keeper.ledger.quiet(clock.now)
    assert [(claim.id, claim.absent) for claim in keeper.ledger.claims] == [(other.id, None)]


def test_conflicts_and_leaks_are_said_once_each(caplog: pytest.LogCaptureFixture) -> None:
    """And conflicts are counted."""
    clock = Clock()
    keeper = Keeper(clock=clock)
    keeper.arbitrate(OFFERS, {})
    keeper.reserve([GPU])
    clock.now += 1
    keeper.reserve([AUDIO])
    for _ in range(3):
        clock.now += 5
        told(keeper, {("v.io/gpu", GPU.id): VM, ("v.io/audio", AUDIO.id): OTHER}, clock.now)
    assert keeper.counts.group_conflicts == 1
    assert caplog.text.count("ns/other (container compute) was given 0000:01:00.1") == 1
    for _ in range(20):
        clock.now += 5
        told(keeper, {}, clock.now)
        keeper.opened((Opener(1, 7, "qemu"),), clock.now)
    assert caplog.text.count("leak: pid 7 (qemu)") == 2


def test_functions_of_a_slot_go_together_across_resources() -> None:
    """Inside the window: the audio function of the GPU that was just given."""
    clock = Clock()
    keeper = Keeper(clock=clock)
    keeper.reserve([GPU])
    assert keeper.beside("v.io/audio") == {(0, 1, 0)}
    assert keeper.beside("v.io/gpu") == frozenset()
    clock.now += 3
    assert keeper.beside("v.io/audio") == frozenset()
