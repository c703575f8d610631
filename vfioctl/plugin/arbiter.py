"""Who owns an IOMMU group, and what that means for every item in every resource.

The kernel gives a group to one owner; a kubelet gives items of it to whoever comes. So what shares a group
with something claimed is unhealthy until that is free again, and Allocate looks once more. What a pod has is
never made unhealthy here: the pod could not be admitted again. Pure: the time is an argument.
"""

from __future__ import annotations

from functools import cached_property

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.claims import GRACE, HOLD_OFF, LEAK, SETTLE, lapsed
from vfioctl.plugin.settings import SharedGroup
from vfioctl.plugin.specs import ADMISSION, Wants
from vfioctl.plugin.succession import Ended, ended, ended_by
from vfioctl.plugin.values import Denied, Item, Offer
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from vfioctl.plugin.claims import Claim, Key, Ledger
    from vfioctl.sysfs.openers import Opener

    Modes: TypeAlias = "Mapping[str, SharedGroup]"

IN_USE = "group-in-use"
"""The only reason that is given here, a word of `vfioctl.plugin.condition.REASONS`."""
NOBODY = Ended()


class Hindrance(NamedTuple):
    """Why an item cannot be anybody else's now."""

    group: int | None
    by: str
    """Who is in the way, and with what."""


class _Index:
    """A ledger's claims by what they touch, for thousands of items."""

    def __init__(self, ledger: Ledger, asked: Iterable[Key] = ()) -> None:
        self.wants = Wants(ledger.specs, ledger.claims, asked)
        self.claims = ledger.claims
        self.openers = ledger.openers.by_group

    def busy(self) -> frozenset[object]:
        """Return the ids and groups that anybody has anything to do with."""
        return self.claims.places() | self.openers.keys()

    def own(self, item: Item) -> Claim | None:
        """Return the claim on the item itself."""
        return self.claims.get((item.resource, item.id))

    def others(self, item: Item) -> Iterator[tuple[int | None, Claim]]:
        """Yield claims on what shares a group with it, or is the same thing under another name."""
        for claim in self.claims.on(item.id):
            if claim.resource != item.resource:
                yield item.group, claim
        for group in item.groups:
            for claim in self.claims.in_group(group):
                if claim.id != item.id:
                    yield group, claim

    def strangers(self, item: Item) -> Iterator[tuple[int, Opener]]:
        """Yield who has a group of it open that nobody claims."""
        for group in item.groups:
            if group in self.openers and not self.claims.in_group(group):
                for opener in self.openers[group]:
                    yield group, opener


class Arbitration(NamedTuple):
    """What to publish, and when it has to be thought over again."""

    offers: tuple[Offer, ...]
    again: float | None


def arbitrate(ledger: Ledger, offers: Sequence[Offer], modes: Modes, now: float) -> Arbitration:
    """Make unhealthy what shares a group with something claimed; an offer that stays so is the same."""
    if ledger.quiet(now) or not (ledger.claims or ledger.openers):
        return Arbitration(tuple(offers), _again(ledger, now))
    index = _Index(ledger)
    busy = index.busy()
    judged = tuple(_judged(ledger, index, offer, modes, now, busy) for offer in offers)
    return Arbitration(judged, _again(ledger, now))


def _judged(
    ledger: Ledger, index: _Index, offer: Offer, modes: Modes, now: float, busy: frozenset[object]
) -> Offer:
    # Of thousands of items most are nobody's, nor their groups.
    near = (one for one in offer.items if one.id in busy or not busy.isdisjoint(one.groups))
    flipped = {
        item.id
        for item in near
        if item.reason is None and _unfit(ledger, index, item, modes, now) is not None
    }
    return taken_out(offer, flipped)


def taken_out(offer: Offer, in_use: Collection[str]) -> Offer:
    """Return an offer in which these items are in use; the very same where there are none."""
    if not in_use:
        return offer
    items = [item._replace(reason=IN_USE) if item.id in in_use else item for item in offer.items]
    return Offer(offer.resource, tuple(items))


def _unfit(ledger: Ledger, index: _Index, item: Item, modes: Modes, now: float) -> Hindrance | None:
    """Return why an item is not to be offered, as far as owners go."""
    own = index.own(item)
    if own is None:
        return next(_hindrances(index, item, modes, now), None)
    openers = ledger.openers_of(own.groups)
    # A pod's own item is left alone; one whose pod is long gone is not.
    if lapsed(own, now) and (own.cleaning or openers):
        by = f"{openers[0]}, whose pod is gone" if openers else "what is to be done on its release"
        return Hindrance(item.group, by)
    if own.absent is None:
        return None
    # The kubelet does not list it, and gave the group to somebody else meanwhile.
    return next(_hindrances(index, item, modes, now, over=ended((own,))), None)


def _hindrances(
    index: _Index,
    item: Item,
    modes: Modes,
    now: float,
    asked: frozenset[str] = frozenset(),
    over: Ended = NOBODY,
) -> Iterator[Hindrance]:
    """Yield what keeps an item from a container that has none of its group yet, but what is asked with it."""
    for group, claim in index.others(item):
        if claim.resource == item.resource and claim.id in asked:
            continue
        if over.has(claim):
            continue
        if _together(modes, claim.resource, item.resource) and _same_pod(index, claim, item, now):
            continue
        yield Hindrance(group, _holder(claim, now))
    for group, opener in index.strangers(item):
        yield Hindrance(group, str(opener))


def _same_pod(index: _Index, claim: Claim, item: Item, now: float) -> bool:
    """Tell whether the pod that has a claim may be who asks for an item now."""
    told = index.wants.awaits(claim, item.resource, now)
    return _settling(claim, now) if told is None else told


def _settling(claim: Claim, now: float) -> bool:
    """Tell whether the rest of its pod may still be asking."""
    # Compared as `_deadlines` says it: a difference may round to the other side.
    return claim.absent is None and now < claim.since + SETTLE


def _together(modes: Modes, one: str, other: str) -> bool:
    """Tell whether items of two resources may go to one pod in several calls."""
    mode = SharedGroup.SAME_POD
    return modes.get(one, mode) is mode and modes.get(other, mode) is mode


def _holder(claim: Claim, now: float) -> str:
    what = f"{claim.id} of {claim.resource}"
    if claim.cleaning:
        return f"what is to be done on the release of {what}"
    if claim.owner is None:
        return f"a container that was given {what} {now - claim.since:.0f} s ago"
    if claim.absent is not None:
        return f"{claim.owner}, which has ended and is not yet released; it had {what}"
    return f"{claim.owner}, which has {what}"


def refuse(ledger: Ledger, items: Sequence[Item], modes: Modes, now: float) -> Denied | None:
    """Look once more when items of one resource are about to be given to one container.

    The kubelet learns of what is unhealthy only through its list, which may be on its way.
    """
    asked = frozenset(item.id for item in items)
    index = _Index(ledger, [(item.resource, item.id) for item in items])
    over = ended_by(ledger, items)
    for item in items:
        own = index.own(item)
        if own is not None and own.cleaning:
            text = "what is to be done on its release is not done yet"
            return Denied("FAILED_PRECONDITION", f"{item.id} of {item.resource}: {text} ({IN_USE})")
        for hindrance in _hindrances(index, item, modes, now, asked, over):
            return Denied("FAILED_PRECONDITION", _in_words(item, hindrance))
    return None


def _in_words(item: Item, hindrance: Hindrance) -> str:
    what = f"IOMMU group {hindrance.group}" if hindrance.group is not None else "it"
    return f"{item.id} of {item.resource}: {what} is in use by {hindrance.by} ({IN_USE})"


class Watch:
    """A ledger to ask of many items who is in their way."""

    def __init__(self, ledger: Ledger) -> None:
        """Watch this one."""
        self._ledger = ledger
        self._index = _Index(ledger)

    @cached_property
    def busy(self) -> frozenset[object]:
        """The ids and groups that anybody has anything to do with, among other things."""
        return self._index.busy()

    def in_the_way(self, item: Item, modes: Modes, now: float) -> str | None:
        """Say who is in the way of an item, or return None."""
        if self._ledger.quiet(now):
            return None
        hindrance = _unfit(self._ledger, self._index, item, modes, now)
        return None if hindrance is None else hindrance.by


def _again(ledger: Ledger, now: float) -> float | None:
    """Return when time alone changes something."""
    return min((when for when in _deadlines(ledger) if when > now), default=None)


def _deadlines(ledger: Ledger) -> Iterable[float]:
    if not ledger.answered:
        yield ledger.started + HOLD_OFF
    for claim in ledger.claims.in_no_order():
        yield from deadlines_of(claim)
        if ledger.specs.pods:
            yield claim.since + ADMISSION


def deadlines_of(claim: Claim) -> Iterable[float]:
    """Return when time alone changes something about a claim, where the kubelet does not tell of its pod."""
    settled = claim.since + SETTLE
    return (settled,) if claim.absent is None else (settled, claim.absent + GRACE, claim.absent + LEAK)
