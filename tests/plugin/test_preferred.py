from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from tests.model.factory import make_port
from tests.plugin.factory import AUDIO, GPU, card, config, given, ids, machine, seeing
from vfioctl.plugin.preferred import prefer
from vfioctl.plugin.resources import offers
from vfioctl.plugin.values import Denied, Item, Offer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hypothesis.strategies import DrawFn

    from vfioctl.model.host import Host

SELECT = 'select = ["class:gpu", "class:audio", "class:nic"]'


def preferred(host: Host, size: int, must: Iterable[str] = (), without: Iterable[str] = ()) -> list[str]:
    """Choose of all that one resource offers, but for some that are taken."""
    (offer,) = offers(host, config(SELECT), sight=seeing())
    available = [one for one in ids(offer) if one not in set(without)]
    chosen = prefer(host, offer, available, must, size)
    assert not isinstance(chosen, Denied), chosen
    return list(chosen)


def test_a_card_is_completed() -> None:
    """P5: the audio function of the GPU that is given already, not another card's."""
    host = machine(*card(1, 1), *card(2, 2))

    assert preferred(host, 2, ["0000:02:00.1"]) == ["0000:02:00.0", "0000:02:00.1"]


def test_a_card_over_two_groups_is_completed_too() -> None:
    """Its functions are isolated, and still one card."""
    host = machine(given(GPU, 1), given(AUDIO, 2), given("0000:02:00.0", 3), given("0000:02:00.1", 4))

    assert preferred(host, 2, ["0000:02:00.0"]) == ["0000:02:00.0", "0000:02:00.1"]
    assert preferred(host, 2, without=[AUDIO]) == ["0000:02:00.0", "0000:02:00.1"]


def test_the_fewest_groups_are_touched_and_used_up() -> None:
    """Two of a group of two rather than of a group of three; three of the latter."""
    three = [given(f"0000:01:0{slot}.0", 1) for slot in range(3)]
    two = [given(f"0000:02:0{slot}.0", 2) for slot in range(2)]
    host = machine(*three, *two, given("0000:03:00.0", 3))

    assert preferred(host, 1) == ["0000:03:00.0"]
    assert preferred(host, 2) == ["0000:02:00.0", "0000:02:01.0"]
    assert preferred(host, 3) == ["0000:01:00.0", "0000:01:01.0", "0000:01:02.0"]


def test_four_and_three_are_used_up_rather_than_five_and_a_part() -> None:
    """The largest first would leave an item behind that nobody else can have."""
    host = machine(
        *(
            given(f"0000:{bus:02x}:0{slot}.0", bus)
            for bus, size in ((1, 5), (2, 4), (3, 3))
            for slot in range(size)
        )
    )

    assert {one[5:7] for one in preferred(host, 7)} == {"02", "03"}


def test_one_numa_node_and_one_root_port() -> None:
    """Where groups do not decide: the node first, then the port, then the lowest address."""
    ports = [make_port(f"0000:00:0{number}.0", iommu_group=50 + number) for number in (1, 2)]
    nics = [
        given(f"0000:0{bus}:00.0", bus, numa_node=node, parent=f"0000:00:0{port}.0")
        for bus, node, port in ((1, 0, 1), (2, 1, 1), (3, 1, 2), (4, 0, 2), (5, 1, 2))
    ]
    host = machine(*ports, *nics)

    assert preferred(host, 1) == ["0000:01:00.0"]
    assert preferred(host, 2) == ["0000:03:00.0", "0000:05:00.0"]
    assert preferred(host, 2, ["0000:04:00.0"]) == ["0000:01:00.0", "0000:04:00.0"]
    assert preferred(host, 3) == ["0000:02:00.0", "0000:03:00.0", "0000:05:00.0"]


def test_the_rest_of_a_card_goes_with_what_another_resource_just_gave() -> None:
    """GPU and audio in two resources: the slot that was reserved is preferred."""
    host = machine(*card(1, 1), *card(2, 2))
    offer = offers(host, config('select = ["class:audio"]'), sight=seeing())[0]

    assert prefer(host, offer, ids(offer), [], 1) == (AUDIO,)
    assert prefer(host, offer, ids(offer), [], 1, frozenset({(0, 2, 0)})) == ("0000:02:00.1",)


def test_items_without_a_group_share_none() -> None:
    """Nodes, or USB devices: the lowest, in the offer's order."""
    tables = config('name = "a.b/kvm"\nkind = "node"\npaths = ["/dev/kvm"]\ncount = 12')
    (offer,) = offers(machine(), tables, sight=seeing())

    assert prefer(machine(), offer, ["kvm#11", "kvm#2", "kvm#10"], [], 2) == ("kvm#2", "kvm#10")


@pytest.mark.parametrize(
    ("available", "must", "size", "code"),
    [
        ([GPU], [GPU, AUDIO], 1, "INVALID_ARGUMENT"),
        ([GPU], [], 2, "INVALID_ARGUMENT"),
        ([GPU], ["0000:99:00.0"], 1, "NOT_FOUND"),
        ([GPU], [], -1, "INVALID_ARGUMENT"),
    ],
)
def test_what_cannot_be_answered(available: list[str], must: list[str], size: int, code: str) -> None:
    """More than there is, fewer than must be, and what was never offered."""
    host = machine(*card(1, 1))
    (offer,) = offers(host, config(SELECT), sight=seeing())

    denied = prefer(host, offer, available, must, size)

    assert isinstance(denied, Denied)
    assert denied.code == code


def test_what_is_available_and_no_longer_offered_is_passed_over() -> None:
    """The kubelet's view may be a moment old."""
    host = machine(*card(1, 1))
    (offer,) = offers(host, config(SELECT), sight=seeing())

    assert prefer(host, offer, ["0000:99:00.0", AUDIO], [], 1) == (AUDIO,)


@st.composite
def questions(draw: DrawFn) -> tuple[Host, Offer, list[str], list[str], int]:
    """Return hosts with groups of every size over slots, roots and nodes, and what a kubelet may ask."""
    places = draw(
        st.lists(
            st.tuples(st.integers(1, 5), st.integers(0, 2), st.integers(0, 1)),
            min_size=1,
            max_size=9,
            unique=True,
        )
    )
    devices = [
        given(
            f"0000:{bus:02x}:0{slot}.{function}",
            draw(st.integers(1, 5)),
            numa_node=draw(st.sampled_from([None, 0, 1])),
        )
        for bus, slot, function in places
    ]
    host = machine(*devices)
    (offer,) = offers(host, config('select = ["class:nic"]'), sight=seeing())
    available = draw(st.lists(st.sampled_from(ids(offer)), min_size=1, unique=True))
    size = draw(st.integers(1, len(available)))
    must = draw(st.lists(st.sampled_from(available), max_size=size, unique=True))
    return host, offer, available, must, size


def groups(items: Iterable[Item], chosen: Iterable[str]) -> int:
    """Return how many groups a choice touches."""
    wanted = set(chosen)
    return len({item.group for item in items if item.id in wanted})


@drawn(questions())
def test_every_answer(question: tuple[Host, Offer, list[str], list[str], int]) -> None:
    """Of the size, with what must be, from what is there, in the offer's order, whatever the order asked in.

    And no other choice with what must be included, completed in its groups first, touches fewer groups.
    """
    host, offer, available, must, size = question

    chosen = prefer(host, offer, available, must, size)

    assert not isinstance(chosen, Denied)
    assert (len(chosen), len(set(chosen))) == (size, size)
    assert set(must) <= set(chosen) <= set(available)
    assert list(chosen) == [item.id for item in offer.items if item.id in chosen]
    assert prefer(host, offer, reversed(available), reversed(must), size) == chosen
    rest = [one for one in available if one not in must]
    fewest = min(groups(offer.items, [*must, *more]) for more in combinations(rest, size - len(must)))
    assert groups(offer.items, chosen) == fewest


def test_a_thousand_items_are_answered_at_once() -> None:
    """Virtual functions of four cards: no search over combinations."""
    vfs = [
        given(f"0000:{bus:02x}:{slot:02x}.{function}", 1000 * bus + 8 * slot + function)
        for bus in range(1, 5)
        for slot in range(32)
        for function in range(8)
    ]
    host = machine(*vfs)
    (offer,) = offers(host, config('select = ["class:nic"]'), sight=seeing())

    chosen = prefer(host, offer, ids(offer), [], 64)

    assert not isinstance(chosen, Denied)
    assert len(chosen) == 64
