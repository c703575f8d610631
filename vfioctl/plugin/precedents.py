"""What was decided about who owns what, upheld where nothing touched it since.

To arbitrate four thousand items takes milliseconds, in which nobody is answered, and one Allocate follows the
other. What an item is published as depends on the claims and open nodes of its own groups, and on the time.
"""

from __future__ import annotations

from heapq import heappop, heappush

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.arbiter import Arbitration, Watch, arbitrate, deadlines_of, taken_out
from vfioctl.plugin.claims import HOLD_OFF
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from vfioctl.plugin.arbiter import Modes
    from vfioctl.plugin.claims import Claim, Key, Ledger
    from vfioctl.plugin.values import Item, Offer

    Places: TypeAlias = "frozenset[object]"
    """Ids of items, and numbers of groups."""


class _Decided(NamedTuple):
    """One resource: how the hardware is, and what was made of it."""

    offer: Offer
    near: Mapping[object, Sequence[Item]]
    """The items that may be healthy, by their ids and groups."""
    in_use: frozenset[str]
    published: Offer


class Precedents:
    """Arbitrates as `vfioctl.plugin.arbiter.arbitrate` does, and not again what must be the same."""

    def __init__(self) -> None:
        """Know nothing."""
        self._ledger: Ledger | None = None
        self._modes: Modes | None = None
        self._offers: Sequence[Offer] = ()
        self._decided: dict[str, _Decided] = {}
        self._where: dict[object, set[str]] = {}
        """The resources that have an item of an id or in a group."""
        self._deadlines: list[tuple[float, Key]] = []
        """When time changes something about a claim; the earliest first."""

    def arbitrate(self, ledger: Ledger, offers: Sequence[Offer], modes: Modes, now: float) -> Arbitration:
        """Say what to publish, and when it has to be thought over again."""
        # What a pod wants still hangs on all that it has, wherever that is.
        if ledger.quiet(now) or ledger.specs.pods:
            self._ledger = None
            return arbitrate(ledger, offers, modes, now)
        before = self._ledger if modes is self._modes else None
        if before is None:
            self._decided.clear()
            self._deadlines.clear()
            self._where.clear()
        watch, touched = Watch(ledger), frozenset(self._touched(before, ledger, now))
        concerned = {name for place in touched for name in self._where.get(place, ())}
        if before is not None and offers is self._offers:
            # As between two looks at the host: there is no step for each of hundreds of resources.
            names = concerned & self._decided.keys()
            fresh = {name: _decided(watch, self._decided[name], touched, modes, now) for name in names}
            decided = self._decided | fresh
        else:
            decided = dict(self._decide_all(offers, concerned, watch, touched, modes, now))
        self._ledger, self._modes, self._offers, self._decided = ledger, modes, offers, decided
        return Arbitration(tuple(one.published for one in decided.values()), self._again(ledger, now))

    def _decide_all(
        self,
        offers: Sequence[Offer],
        concerned: Collection[str],
        watch: Watch,
        touched: Places,
        modes: Modes,
        now: float,
    ) -> Iterator[tuple[str, _Decided]]:
        """Yield each resource, decided anew where it is another one or concerned."""
        for offer in offers:
            known = self._decided.get(offer.resource)
            if known is None or known.offer is not offer:
                known = _decided(watch, self._begun(offer, known), watch.busy, modes, now)
            elif offer.resource in concerned:
                known = _decided(watch, known, touched, modes, now)
            yield offer.resource, known

    def _begun(self, offer: Offer, known: _Decided | None) -> _Decided:
        """Return a resource of which nothing is decided yet."""
        near = _by_place(offer)
        for place in known.near.keys() - near.keys() if known else ():
            self._where[place].discard(offer.resource)
        for place in near:
            self._where.setdefault(place, set()).add(offer.resource)
        return _Decided(offer, near, frozenset(), offer)

    def _touched(self, before: Ledger | None, ledger: Ledger, now: float) -> Iterator[object]:
        """Yield the ids and groups of which a claim, an open node or the time has changed something."""
        if before is None:
            for claim in ledger.claims.in_no_order():
                self._remind(claim)
            return
        for key, after in ledger.claims.since(before.claims):
            yield from _places(before.claim(key))
            yield from _places(after)
            if after is not None:
                self._remind(after)
        if ledger.openers is not before.openers:
            then, opened = before.openers.by_group, ledger.openers.by_group
            for group in then.keys() | opened.keys():
                if then.get(group) != opened.get(group):
                    yield group
                    # A claim may be on a group that its item is not in any more.
                    yield from (claim.id for claim in ledger.claims.in_group(group))
        while self._deadlines and self._deadlines[0][0] <= now:
            yield from _places(ledger.claim(heappop(self._deadlines)[1]))

    def _remind(self, claim: Claim) -> None:
        for when in deadlines_of(claim):
            heappush(self._deadlines, (when, claim.key))

    def _again(self, ledger: Ledger, now: float) -> float | None:
        """Return when time alone changes something."""
        while self._deadlines and not _stands(ledger, *self._deadlines[0], now):
            heappop(self._deadlines)
        times = [self._deadlines[0][0]] if self._deadlines else []
        held_off = ledger.started + HOLD_OFF
        if not ledger.answered and held_off > now:
            times.append(held_off)
        return min(times, default=None)


def _stands(ledger: Ledger, when: float, key: Key, now: float) -> bool:
    """Tell whether a claim has this deadline still, and ahead of it."""
    claim = ledger.claim(key)
    return claim is not None and when > now and when in deadlines_of(claim)


def _decided(watch: Watch, known: _Decided, touched: Places, modes: Modes, now: float) -> _Decided:
    """Return a resource with these ids and groups decided anew."""
    items = {item.id: item for place in _both(touched, known.near) for item in known.near[place]}
    taken = {name for name, item in items.items() if watch.in_the_way(item, modes, now) is not None}
    in_use = (known.in_use - items.keys()) | taken
    if in_use == known.in_use:
        return known
    return known._replace(in_use=in_use, published=taken_out(known.offer, in_use))


def _both(one: Collection[object], other: Collection[object]) -> list[object]:
    """Return what is in both, looking through the smaller one: resources are many, or large."""
    few, many = (one, other) if len(one) < len(other) else (other, one)
    return [place for place in few if place in many]


def _places(claim: Claim | None) -> Iterable[object]:
    return () if claim is None else (claim.id, *claim.groups)


def _by_place(offer: Offer) -> dict[object, list[Item]]:
    near: dict[object, list[Item]] = {}
    for item in offer.items:
        if item.reason is None:
            for place in (item.id, *item.groups):
                near.setdefault(place, []).append(item)
    return near
