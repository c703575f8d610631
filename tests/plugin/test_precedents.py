"""What was decided is upheld only where nothing touched it: each thing that does, with the smallest ledger.

That all of it is what would be decided afresh is checked at every step of the model (`test_groups_model`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.plugin.test_arbiter import ALONE, AUDIO, BOTH, CARD, GPU, NOW, OFFERS, SECOND, SOUND, VM, ledger
from tests.plugin.test_arbiter import listed as listing
from vfioctl.plugin import claims
from vfioctl.plugin.arbiter import IN_USE, arbitrate
from vfioctl.plugin.claims import GRACE, SETTLE, Ledger
from vfioctl.plugin.precedents import Precedents
from vfioctl.plugin.succession import reserve
from vfioctl.plugin.values import Item, Offer
from vfioctl.sysfs.openers import Opener

if TYPE_CHECKING:
    from vfioctl.plugin.settings import SharedGroup


def reason(
    precedents: Precedents,
    found: Ledger,
    one: Item,
    now: float,
    modes: dict[str, SharedGroup] = BOTH,
    offers: tuple[Offer, ...] = OFFERS,
) -> str | None:
    """Return what one item is published as, which must be what would be decided afresh."""
    decided = precedents.arbitrate(found, offers, modes, now)
    assert decided == arbitrate(found, offers, modes, now)
    (known,) = (item for offer in decided.offers for item in offer.items if item.id == one.id)
    return known.reason


def test_a_claim_touches_what_shares_its_group_when_it_is_made_and_when_it_ends() -> None:
    """At once where groups are exclusive."""
    precedents, free = Precedents(), ledger()
    assert reason(precedents, free, SOUND, NOW, ALONE) is None

    taken = reserve(free, [CARD], NOW)
    assert reason(precedents, taken, SOUND, NOW, ALONE) == IN_USE
    assert reason(precedents, taken, SECOND, NOW, ALONE) is None
    claim = taken.claim((GPU, CARD.id))
    assert claim is not None
    assert reason(precedents, claims.changed(taken, claim, None), SOUND, NOW, ALONE) is None


def test_the_end_of_a_window_touches_what_it_was_about() -> None:
    """And is foretold."""
    precedents, taken = Precedents(), reserve(ledger(), [CARD], NOW)
    assert reason(precedents, taken, SOUND, NOW) is None
    assert precedents.arbitrate(taken, OFFERS, BOTH, NOW).again == NOW + SETTLE

    assert reason(precedents, taken, SOUND, NOW + SETTLE) == IN_USE


def test_another_mode_touches_everything() -> None:
    """As another configuration has it, of which the items are the very same."""
    precedents, taken = Precedents(), reserve(ledger(), [CARD], NOW)

    assert reason(precedents, taken, SOUND, NOW, BOTH) is None
    assert reason(precedents, taken, SOUND, NOW, ALONE) == IN_USE


def test_an_open_node_touches_its_group_and_who_had_it() -> None:
    """A claim on a group that was renumbered since: its item is elsewhere, its holder is not."""
    moved = CARD._replace(group=9, groups=(9,))
    offers = (Offer(GPU, (moved, SECOND)), Offer(AUDIO, (SOUND,)))
    known = listing(reserve(ledger(), [CARD], NOW), {CARD: VM}, NOW + 1)
    gone = listing(listing(known, {}, NOW + 2), {}, NOW + 2 + GRACE)
    now = NOW + 3 + GRACE
    precedents = Precedents()
    assert reason(precedents, gone, moved, now, BOTH, offers) is None

    held = claims.opened(gone, (Opener(1, 77, "qemu"),), now)
    assert reason(precedents, held, moved, now, BOTH, offers) == IN_USE
    assert reason(precedents, claims.opened(held, (), now), moved, now, BOTH, offers) is None


def test_a_stranger_touches_the_group_that_it_has_open() -> None:
    """Nobody claims it."""
    precedents, free = Precedents(), ledger()
    assert reason(precedents, free, SOUND, NOW) is None

    assert reason(precedents, claims.opened(free, (Opener(1, 77, "qemu"),), NOW), SOUND, NOW) == IN_USE


def test_what_nothing_touched_is_the_very_same() -> None:
    """So nobody is told anything."""
    precedents, taken = Precedents(), reserve(ledger(), [CARD], NOW)
    before = precedents.arbitrate(taken, OFFERS, ALONE, NOW).offers

    after = precedents.arbitrate(reserve(taken, [SECOND], NOW + 1), OFFERS, ALONE, NOW + 1).offers

    assert [one is other for one, other in zip(before, after, strict=True)] == [True, True]
    assert before[1].items[0].reason == IN_USE
