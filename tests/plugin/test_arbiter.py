"""Who owns a group, and what follows: every rule with the smallest ledger that shows it."""

from __future__ import annotations

import pytest

from tests.model.factory import at
from vfioctl.plugin import claims
from vfioctl.plugin.arbiter import arbitrate, refuse
from vfioctl.plugin.claims import GRACE, HOLD_OFF, LEAK, POLL, SETTLE, Ledger, Owner, next_question
from vfioctl.plugin.conflicts import conflicts
from vfioctl.plugin.ownership import State, table
from vfioctl.plugin.settings import SharedGroup
from vfioctl.plugin.succession import reserve
from vfioctl.plugin.values import Item, Offer
from vfioctl.sysfs.openers import Opener

NOW = 1000.0
GPU, AUDIO = "v.io/gpu", "v.io/audio"
VM, OTHER = Owner("ns", "vm", "compute"), Owner("ns", "other", "compute")
BOTH = {GPU: SharedGroup.SAME_POD, AUDIO: SharedGroup.SAME_POD}
ALONE = {GPU: SharedGroup.EXCLUSIVE, AUDIO: SharedGroup.SAME_POD}


def item(resource: str, name: str, *groups: int) -> Item:
    """Make a healthy item."""
    return Item(name, resource, (at(name),), (), groups[0], None, groups)


CARD = item(GPU, "0000:01:00.0", 1)
SOUND = item(AUDIO, "0000:01:00.1", 1)
SECOND = item(GPU, "0000:02:00.0", 2)
OFFERS = (Offer(GPU, (CARD, SECOND)), Offer(AUDIO, (SOUND,)))
KNOWN = {(one.resource, one.id): one for one in (CARD, SOUND, SECOND)}


def ledger() -> Ledger:
    """Return a ledger of a plugin that has heard of the kubelet."""
    return Ledger(NOW - 500, answered=True)


def reasons(found: Ledger, now: float, modes: dict[str, SharedGroup] = BOTH) -> dict[str, str | None]:
    """Return what is published."""
    return {
        one.id: one.reason for offer in arbitrate(found, OFFERS, modes, now).offers for one in offer.items
    }


def states(found: Ledger, now: float) -> dict[str, tuple[State, str | None]]:
    """Return the ownership table, shortened."""
    return {row.id: (row.state, row.owner) for row in table(found, OFFERS, BOTH, now)}


def listed(found: Ledger, owners: dict[Item, Owner], now: float) -> Ledger:
    """Let the kubelet say who has what."""
    answer = {(one.resource, one.id): owner for one, owner in owners.items()}
    return claims.observe(found, answer, KNOWN, now, now)


def test_a_sibling_is_offered_until_the_window_ends() -> None:
    """same-pod: the other Allocate calls of the pod must still find it; afterwards nobody else may."""
    found = reserve(ledger(), [CARD], NOW)
    assert set(reasons(found, NOW + SETTLE - 0.1).values()) == {None}
    assert reasons(found, NOW + SETTLE) == {CARD.id: None, SECOND.id: None, SOUND.id: "group-in-use"}
    assert arbitrate(found, OFFERS, BOTH, NOW).again == NOW + SETTLE
    assert refuse(found, [SOUND], BOTH, NOW + 1) is None
    denied = refuse(found, [SOUND], BOTH, NOW + SETTLE)
    assert denied is not None
    assert denied.code == "FAILED_PRECONDITION"


def test_exclusive_takes_the_group_at_once() -> None:
    """One of the two resources says so: that is enough."""
    found = reserve(ledger(), [CARD], NOW)
    assert reasons(found, NOW, ALONE)[SOUND.id] == "group-in-use"
    assert refuse(found, [SOUND], ALONE, NOW) is not None


def test_ids_of_one_call_belong_to_one_container() -> None:
    """They are granted together, whatever the mode."""
    pair = [item(GPU, "0000:01:00.0", 1), item(GPU, "0000:01:00.1", 1)]
    assert refuse(ledger(), pair, ALONE, NOW) is None
    found = reserve(ledger(), pair, NOW)
    assert refuse(found, pair, ALONE, NOW + 60) is None


def test_a_refusal_names_the_group_the_owner_and_the_address() -> None:
    """It is what the pod's status will say."""
    found = listed(reserve(ledger(), [CARD], NOW), {CARD: VM}, NOW + 5)
    denied = refuse(found, [SOUND], BOTH, NOW + 6)
    assert denied is not None
    assert denied.message == (
        "0000:01:00.1 of v.io/audio: IOMMU group 1 is in use by ns/vm (container compute),"
        " which has 0000:01:00.0 of v.io/gpu (group-in-use)"
    )


def test_what_the_kubelet_gives_again_is_free_and_so_is_what_its_pod_had() -> None:
    """The kubelet says so by asking: a pod that follows another one at once gets the whole card."""
    found = reserve(ledger(), [CARD], NOW)
    found = reserve(found, [SOUND], NOW + 1)
    found = listed(found, {CARD: VM, SOUND: VM}, NOW + 5)
    assert refuse(found, [CARD], BOTH, NOW + 20) is None
    found = reserve(found, [CARD], NOW + 20)
    assert refuse(found, [SOUND], BOTH, NOW + 21) is None
    assert states(found, NOW + 20)[SOUND.id] == (State.DRAINING, str(VM))


def test_what_a_rejected_pod_had_reserved_stands_in_nobodys_way() -> None:
    """What came in one Allocate call was one container's; of the rest the kubelet tells."""
    pair = [CARD, item(GPU, "0000:01:00.1", 1)]
    found = reserve(ledger(), pair, NOW)
    assert refuse(found, pair[:1], ALONE, NOW + 1) is None
    crossing = reserve(reserve(ledger(), [CARD], NOW), [SOUND], NOW + 1)
    assert refuse(crossing, [SOUND], BOTH, NOW + SETTLE) is not None
    assert refuse(listed(crossing, {}, NOW + SETTLE + 1), [SOUND], BOTH, NOW + SETTLE + 2) is None


def test_an_allocated_item_is_never_made_unhealthy() -> None:
    """Its pod could not be admitted again; that two pods have the group is said instead."""
    found = reserve(reserve(ledger(), [CARD], NOW), [SOUND], NOW + 1)
    found = listed(found, {CARD: VM, SOUND: OTHER}, NOW + 5)
    assert set(reasons(found, NOW + 60).values()) == {None}
    (conflict,) = conflicts(found)
    assert (conflict.first.owner, conflict.later.owner) == (VM, OTHER)
    assert "ns/other" in str(conflict)
    assert [row.note for row in table(found, OFFERS, BOTH, NOW + 60) if row.note] == [str(conflict)]


@pytest.mark.parametrize("answered", [True, False])
def test_nothing_is_decided_before_the_kubelet_has_spoken(answered: bool) -> None:
    """Until then, or for a minute, only the hardware decides: a pod's device could be taken for free."""
    found = reserve(Ledger(NOW), [CARD], NOW)
    found = listed(found, {CARD: VM}, NOW + 5) if answered else found
    assert (reasons(found, NOW + 10)[SOUND.id] is not None) is answered
    assert reasons(found, NOW + HOLD_OFF)[SOUND.id] == "group-in-use"


def test_a_release_takes_ten_seconds_of_absence_and_no_open_node() -> None:
    """Absence begins when the kubelet was asked after the Allocate."""
    found = listed(reserve(ledger(), [CARD], NOW), {CARD: VM}, NOW + 5)
    found = listed(found, {}, NOW + 10)
    assert states(found, NOW + 10)[CARD.id] == (State.DRAINING, str(VM))
    assert not claims.due(claims.opened(found, (), NOW + 19), NOW + 10 + GRACE - 0.1)
    held = claims.opened(found, (Opener(1, 7, "qemu"),), NOW + 30)
    assert not claims.due(held, NOW + 30)
    assert not claims.due(found, NOW + 30), "nobody has looked for open nodes since"
    (claim,) = claims.due(claims.opened(found, (), NOW + 20), NOW + 20)
    assert claim.id == CARD.id


def test_an_answer_from_before_an_allocate_says_nothing_about_it() -> None:
    """The question was asked earlier than it was answered."""
    found = reserve(ledger(), [CARD], NOW)
    found = claims.observe(found, {}, KNOWN, NOW - 0.1, NOW + 1)
    assert found.claims[0].absent is None


def test_a_kubelet_that_has_just_returned_may_not_know_its_pods() -> None:
    """It learns of them from the API server: for a minute nothing is taken for ended."""
    found = listed(reserve(ledger(), [CARD], NOW), {CARD: VM}, NOW + 5)
    found = listed(claims.returned(found, NOW + 6), {}, NOW + 10)
    assert found.claims[0].absent is None
    found = listed(found, {}, NOW + 6 + HOLD_OFF)
    assert found.claims[0].absent == NOW + 6 + HOLD_OFF


def test_a_node_that_is_open_without_a_pod_keeps_its_group_back() -> None:
    """A leak: the item itself is not offered either, once it is certain that no pod has it."""
    found = listed(reserve(ledger(), [CARD], NOW), {CARD: VM}, NOW + 5)
    found = claims.opened(listed(found, {}, NOW + 10), (Opener(1, 7, "qemu"),), NOW + 10)
    assert reasons(found, NOW + 15)[CARD.id] is None
    assert reasons(found, NOW + 10 + GRACE)[CARD.id] == "group-in-use"
    (note,) = [row.note for row in table(found, OFFERS, BOTH, NOW + 10 + LEAK) if row.id == CARD.id]
    assert note == "leak: pid 7 (qemu) has it open, and its pod is gone for 60 s"


def test_a_stranger_owns_what_it_has_open() -> None:
    """A VM that somebody started by hand: every item of the group is its."""
    found = claims.opened(ledger(), (Opener(1, 7, "qemu"),), NOW)
    assert reasons(found, NOW) == {CARD.id: "group-in-use", SOUND.id: "group-in-use", SECOND.id: None}
    denied = refuse(found, [CARD], BOTH, NOW)
    assert denied is not None
    assert "pid 7 (qemu)" in denied.message


def test_states_on_the_way_from_free_to_free() -> None:
    """Each has its own evidence."""
    found = reserve(ledger(), [CARD], NOW)
    assert states(found, NOW)[CARD.id] == (State.RESERVED, None)
    found = listed(found, {CARD: VM}, NOW + 5)
    assert states(found, NOW + 5)[CARD.id] == (State.ALLOCATED, str(VM))
    found = claims.opened(found, (Opener(1, 7, "qemu"),), NOW + 6)
    assert states(found, NOW + 6)[CARD.id] == (State.IN_USE, str(VM))
    assert states(found, NOW + 6)[SOUND.id] == (State.FREE, None)
    found = claims.opened(listed(found, {}, NOW + 10), (), NOW + 10)
    assert states(found, NOW + 10)[CARD.id] == (State.DRAINING, str(VM))
    found = claims.changed(found, found.claims[0], None)
    assert states(found, NOW + 20)[CARD.id] == (State.FREE, None)


def test_one_thing_under_two_names_has_one_owner() -> None:
    """A reload gave it to another resource while a pod has it; without a group its id tells."""
    dongle, again = Item("1-2", "v.io/a", (), (), None, None), Item("1-2", "v.io/b", (), (), None, None)
    found = reserve(ledger(), [dongle], NOW)
    assert refuse(found, [again], {}, NOW + 60) is not None
    (offer,) = arbitrate(found, [Offer("v.io/b", (again,))], {}, NOW + 60).offers
    assert offer.items[0].reason == "group-in-use"


def test_a_slot_over_several_groups_needs_all_of_them() -> None:
    """Every one of its groups must be free."""
    slot = item(GPU, "0000:03:00.0", 3, 1)
    found = reserve(ledger(), [SOUND], NOW)
    assert refuse(found, [slot], BOTH, NOW + 10) is not None


def test_the_kubelet_is_asked_only_while_there_is_something_to_ask() -> None:
    """Each five seconds, at the end of a window, and until it has answered once."""
    assert next_question(Ledger(NOW), NOW) == NOW + POLL
    assert next_question(ledger(), NOW) is None
    found = reserve(ledger(), [CARD], NOW)
    assert next_question(found, NOW) == NOW + SETTLE
    assert next_question(listed(found, {CARD: VM}, NOW + SETTLE), NOW + SETTLE) == NOW + SETTLE + POLL


def test_offers_that_stay_as_they_are_are_the_same_objects() -> None:
    """Then nothing is sent: a list of thousands is compared by identity first."""
    found = reserve(ledger(), [SECOND], NOW)
    published = arbitrate(found, OFFERS, BOTH, NOW + 60).offers
    assert all(one is other for one, other in zip(published, OFFERS, strict=True))
