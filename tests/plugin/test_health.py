from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.model.factory import make_device
from tests.plugin.factory import NIC, card, config, given, machine, seeing, the_item
from tests.plugin.test_resources import OTHER, UUID, plugged, vgpus
from vfioctl.plugin.condition import REASONS, URGENT
from vfioctl.plugin.config import default_config
from vfioctl.plugin.health import FORGOTTEN_AFTER, History, judge

if TYPE_CHECKING:
    from vfioctl.model.device import PciDevice
    from vfioctl.plugin.config import Config
    from vfioctl.plugin.health import Judged

TABLES = config('select = ["class:nic"]')
NOW = given(NIC, 2)
ELSEWHERE = NOW._replace(iommu_group=3, vfio_group_node="/dev/vfio/3")
HOSTED = make_device("0000:02:00.1", iommu_group=2, driver="igb", class_code=0x040300)


class Clock:
    """A plugin that looks again and again, with what it saw before."""

    def __init__(self, configured: Config = TABLES) -> None:
        """Begin without a history."""
        self.configured = configured
        self.history = History()
        self.judged: Judged | None = None

    def look(
        self,
        *devices: PciDevice,
        missing: str = "",
        **given_to_judge: Any,  # noqa: ANN401 - as `judge` takes them
    ) -> list[tuple[str, str | None]]:
        """Look at a host with these devices, and return what is published: ids and reasons."""
        host = given_to_judge.pop("host", None) or machine(*devices)
        sight = given_to_judge.pop("sight", None) or seeing(missing=[missing])
        self.judged = judge(self.history, host, self.configured, sight=sight, **given_to_judge)
        self.history = self.judged.history
        return [(item.id, item.reason) for offer in self.judged.offers for item in offer.items]

    def unsettled(self) -> bool:
        """Whether the last look left something in doubt."""
        assert self.judged is not None
        return self.judged.unsettled


GOOD = [(NIC, None)]


@pytest.mark.parametrize(
    ("devices", "missing", "reason"),
    [
        ((), "", "missing"),
        ((NOW,), "/dev/vfio/2", "no-node"),
        ((NOW._replace(vfio_group_node=None),), "", "no-node"),
        ((ELSEWHERE,), "", "group-changed"),
    ],
)
def test_what_is_sure_counts_at_once(devices: tuple[PciDevice, ...], missing: str, reason: str) -> None:
    """P29: a device that is gone, or cannot be opened, is not allocated once more."""
    clock = Clock()
    assert clock.look(NOW) == GOOD

    assert clock.look(*devices, missing=missing) == [(NIC, reason)]
    assert not clock.unsettled()


@pytest.mark.parametrize(
    ("devices", "reason"),
    [
        ((NOW._replace(driver=None, vfio_group_node=None),), "driver-changed"),
        ((NOW._replace(driver="igb"),), "driver-changed"),
        ((NOW._replace(alive=False),), "config-space-dead"),
        ((NOW._replace(alive=False, power_state="D3cold"),), "power-d3cold"),
        ((NOW, HOSTED), "group-not-viable"),
    ],
)
def test_what_may_pass_counts_when_it_is_seen_twice(devices: tuple[PciDevice, ...], reason: str) -> None:
    """A driver that is bound again in a moment costs nothing; the caller is told to look again soon."""
    clock = Clock()
    assert clock.look(NOW) == GOOD

    assert clock.look(*devices) == GOOD
    assert clock.unsettled()
    assert clock.look(*devices) == [(NIC, reason)]
    assert not clock.unsettled()
    assert clock.look(NOW) == GOOD
    assert clock.look(*devices) == GOOD


def test_a_doubt_that_passes_is_none() -> None:
    """Two looks that differ do not add up over a good one."""
    clock = Clock()
    dead = NOW._replace(alive=False)

    assert [clock.look(one) for one in (NOW, dead, NOW, dead, NOW)] == [GOOD] * 5


def test_a_second_look_counts_whatever_it_finds() -> None:
    """Two different soft reasons are no recovery in between."""
    clock = Clock()

    found = [clock.look(*one) for one in ((NOW,), (NOW._replace(alive=False),), (NOW, HOSTED))]

    assert found == [GOOD, GOOD, [(NIC, "group-not-viable")]]


def test_what_is_new_and_unfit_is_so_at_once() -> None:
    """There is nothing to be patient with."""
    assert Clock().look(NOW, HOSTED) == [(NIC, "group-not-viable")]


def test_new_devices_appear_without_a_restart() -> None:
    """P24, P26: the list is what is there."""
    clock = Clock()
    clock.look(NOW)

    assert clock.look(NOW, given("0000:03:00.0", 3)) == [(NIC, None), ("0000:03:00.0", None)]


def test_one_clean_look_heals_everything() -> None:
    """P30: unhealthy is no life sentence."""
    clock = Clock()
    clock.look(NOW)
    assert clock.look() == [(NIC, "missing")]

    assert clock.look(NOW) == GOOD


def test_a_group_that_was_renumbered_is_offered_anew_after_one_look() -> None:
    """P16, K22: whoever was told the old node is refused meanwhile."""
    clock = Clock()
    clock.look(NOW)

    assert clock.look(ELSEWHERE) == [(NIC, "group-changed")]
    assert clock.look(ELSEWHERE) == GOOD
    assert next(iter(clock.history.shelves.values())).known[0].item.group == 3


def test_a_cordon_counts_at_once_and_ends_at_once() -> None:
    """It is an administrator's word."""
    clock = Clock()

    assert clock.look(NOW) == GOOD
    assert clock.look(NOW, cordoned=frozenset({NIC})) == [(NIC, "cordoned")]
    assert clock.look(NOW) == GOOD


@pytest.mark.parametrize(
    ("allocated", "kept"), [(None, True), (frozenset({NIC}), True), (frozenset(), False)], ids=str
)
def test_what_is_gone_stays_listed_while_it_may_be_in_use(
    allocated: frozenset[str] | None, *, kept: bool
) -> None:
    """The kubelet takes for healthy what is missing in the list; but a list must not grow for ever."""
    clock = Clock()
    clock.look(NOW)

    looks = [clock.look(allocated=allocated) for _ in range(FORGOTTEN_AFTER + 1)]

    assert looks[: FORGOTTEN_AFTER - 1] == [[(NIC, "missing")]] * (FORGOTTEN_AFTER - 1)
    assert looks[-1] == ([(NIC, "missing")] if kept else [])


def test_what_comes_back_is_not_forgotten_later() -> None:
    """The count begins anew."""
    clock = Clock()
    clock.look(NOW)
    for _ in range(FORGOTTEN_AFTER - 1):
        clock.look(allocated=frozenset())
    clock.look(NOW)

    assert clock.look(allocated=frozenset()) == [(NIC, "missing")]


def test_without_a_file_a_resource_outlives_its_last_device() -> None:
    """Its capacity stays, and the reason says why nothing can be allocated."""
    clock = Clock(default_config())
    clock.look(NOW)

    assert clock.look() == [(NIC, "missing")]
    assert clock.judged is not None
    assert [offer.resource for offer in clock.judged.offers] == ["vfioctl.io/8086_10e8"]
    assert clock.look(NOW._replace(driver="igb", vfio_group_node=None)) == [(NIC, "driver-changed")]


def test_what_is_not_wanted_any_more_leaves_the_list_unless_it_is_in_use() -> None:
    """A new configuration takes nothing from a pod: it must be healthy to be admitted again."""
    clock, held = Clock(), Clock()
    for one in (clock, held):
        one.look(NOW, given("0000:03:00.0", 3))
        one.configured = config('select = ["03:00.0"]')

    assert clock.look(NOW, given("0000:03:00.0", 3)) == [("0000:03:00.0", None)]
    assert held.look(NOW, given("0000:03:00.0", 3), allocated=frozenset({NIC})) == [
        ("0000:03:00.0", None),
        (NIC, None),
    ]


def test_a_resource_that_is_gone_takes_its_items_along() -> None:
    """Nobody serves it any more."""
    clock = Clock()
    clock.look(NOW)
    clock.configured = config('name = "vfioctl.io/other"\nselect = ["class:nic"]')

    assert clock.look(NOW) == GOOD
    assert clock.judged is not None
    assert [offer.resource for offer in clock.judged.offers] == ["vfioctl.io/other"]


def test_mediated_and_usb_devices_go_missing_too() -> None:
    """At once, like a function."""
    host = vgpus()
    mdevs = Clock(config('kind = "mdev"\nselect = ["class:gpu"]'))
    usb = Clock(config('kind = "usb"\nselect = ["usb:1050:0407"]'))

    assert mdevs.look(host=host) == [(UUID, None), (OTHER, None)]
    assert mdevs.look(host=host._replace(mdevs=host.mdevs[:1])) == [(UUID, None), (OTHER, "missing")]
    assert usb.look(sight=seeing((plugged("2"),))) == [("1-2", None)]
    assert usb.look(sight=seeing(())) == [("1-2", "missing")]
    assert usb.look(sight=seeing((plugged("2", device=9),))) == [("1-2", None)]


def test_what_lost_its_group_or_its_number_is_not_fit() -> None:
    """Neither is gone: there is a word for each."""
    function, usb = Clock(), Clock(config('kind = "usb"\nselect = ["usb:1050:0407"]'))
    function.look(NOW)
    usb.look(sight=seeing((plugged("2"),)))

    assert function.look(NOW._replace(iommu_group=None)) == [(NIC, "group-changed")]
    assert usb.look(sight=seeing((plugged("2", device=None),))) == [("1-2", "no-node")]


def test_the_words_are_a_closed_list() -> None:
    """As operators know it; those that count at once are among them."""
    assert set(REASONS) == {
        "missing",
        "driver-changed",
        "no-node",
        "group-changed",
        "group-not-viable",
        "group-in-use",
        "host-needs-it",
        "config-space-dead",
        "aer-fatal",
        "power-d3cold",
        "link-down",
        "cordoned",
    }
    assert set(REASONS) > URGENT


def test_the_operators_page_tells_what_to_do_about_every_reason() -> None:
    """In the order of the list, with something to type or to look at."""
    page = (Path(__file__).parents[2] / "docs" / "plugin.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `") and line.count("|") == 4]

    told = {cells[1].strip(" `"): cells[3].strip() for cells in rows if not cells[1].strip().startswith("`/")}

    assert list(told) == list(REASONS)
    assert all(told.values())


def test_what_the_configuration_took_away_is_still_judged_while_a_pod_has_it() -> None:
    """It is listed for its pod; a kubelet that gives it again must not be told that it is fit."""
    mine, refused = 'select = ["10de:2204"]', 'select = ["10de:2204", "10de:1aef"]\nshared_group = "refuse"'
    has = frozenset({"0000:01:00.0"})
    both, third = card(1, 1), given("0000:01:00.2", 1)
    before = judge(History(), machine(*both, third), config(mine), sight=seeing(), allocated=has)
    kept = judge(before.history, machine(*both, third), config(refused), sight=seeing(), allocated=has)
    assert the_item(kept.offers).reason is None
    taken = machine(*both, third._replace(driver="xhci_hcd"))
    for _ in range(2):
        kept = judge(kept.history, taken, config(refused), sight=seeing(), allocated=has)
    assert the_item(kept.offers).reason == "group-not-viable"
