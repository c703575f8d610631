"""Keeps the ledger: one for the process, over every reload, changed in the event loop and nowhere else."""

from __future__ import annotations

import logging
from time import monotonic

from vfioctl.plugin import claims
from vfioctl.plugin.arbiter import refuse
from vfioctl.plugin.bell import Bell
from vfioctl.plugin.claims import Ledger, Openers
from vfioctl.plugin.conflicts import Conflict, conflicts, leaks
from vfioctl.plugin.counts import Counts
from vfioctl.plugin.precedents import Precedents
from vfioctl.plugin.reservations import Reservations, load
from vfioctl.plugin.succession import reserve
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from vfioctl.plugin.arbiter import Arbitration, Modes
    from vfioctl.plugin.claimed import Claims
    from vfioctl.plugin.claims import Claim, Key, Owner
    from vfioctl.plugin.specs import PodSpec
    from vfioctl.plugin.values import Denied, Item, Offer
    from vfioctl.sysfs.openers import Opener

log = logging.getLogger("vfioctl.plugin")

_PART = 64
"""Claims that are noted at one time: a millisecond, or two where all of them changed."""


class Keeper:
    """The ledger of the moment; everything here, or each part of it, ends before the next call begins."""

    def __init__(
        self, path: str | None = None, boot: str = "", clock: Callable[[], float] = monotonic
    ) -> None:
        """Begin with what an earlier plugin of this boot kept in a file; without a path nothing is kept.

        The clock is the kernel's monotonic one, which goes on when a process ends.
        """
        self.clock = clock
        self.changed = Bell()
        """Rung when the ledger is another one."""
        self.counts = Counts()
        self._file = Reservations(path, boot) if path is not None else None
        self._unsaved: str | None = None
        self._precedents = Precedents()
        self._items: dict[Key, Item] = {}
        self._offers: Sequence[Offer] = ()
        self._resources: frozenset[str] = frozenset()
        self._seen: frozenset[tuple[object, ...]] = frozenset()
        self._conflicts: tuple[Claims | None, tuple[Conflict, ...]] = None, ()
        self.ledger = self._begin(path, boot)

    def _begin(self, path: str | None, boot: str) -> Ledger:
        now = self.clock()
        if path is None:
            return Ledger(now)
        try:
            kept = load(path, boot, now)
        except (OSError, ValueError) as error:
            log.warning("what was allocated before is not known until the kubelet says: %s", error)
            return Ledger(now)
        if kept.damage is not None:
            log.warning(
                "%s: %s: what was written after that is not known until the kubelet says", path, kept.damage
            )
        return kept.ledger

    def arbitrate(self, offers: Sequence[Offer], modes: Modes) -> Arbitration:
        """Say what to publish, given how the hardware is; these items are known from now on."""
        if offers != self._offers:
            self._know(offers)
        return self._precedents.arbitrate(self.ledger, offers, modes, self.clock())

    def _know(self, offers: Sequence[Offer]) -> None:
        resources = frozenset(offer.resource for offer in offers)
        if self._offers and resources - self._resources:
            # What pods have of a new resource was not listened to before.
            self.ledger = self.ledger._replace(answered=False)
            self.changed.ring()
        # Of thousands of items a look changes few, and what offers nothing new is the very same offer.
        known, same = {id(offer) for offer in self._offers}, {id(offer) for offer in offers}
        for offer in self._offers:
            for item in offer.items if id(offer) not in same else ():
                self._items.pop((item.resource, item.id), None)
        for offer in offers:
            for item in offer.items if id(offer) not in known else ():
                self._items[item.resource, item.id] = item
        self._offers, self._resources = offers, resources

    def refuse(self, items: Sequence[Item], modes: Modes) -> Denied | None:
        """Say what speaks against giving these items to one container now."""
        denied = refuse(self.ledger, items, modes, self.clock())
        if denied is not None:
            self.counts.conflicted()
        return denied

    def reserve(self, items: Iterable[Item]) -> None:
        """Note that they are given to a container; it is on disk when this returns."""
        now, taken = self.clock(), tuple(items)
        specs = self.ledger.specs.noting([(one.resource, one.id) for one in taken], self.ledger.claims, now)
        self._take(reserve(self.ledger, taken, now)._replace(specs=specs))

    def observing(self, listed: Mapping[Key, Owner], asked: float) -> Iterator[None]:
        """Note the kubelet's list, while this is walked; what it lists of other plugins is nothing to us.

        Of thousands it is noted in parts, after each of which calls may be answered: what they claim is later
        than the list.
        """
        ours = {claim.resource for claim in self.ledger.claims.in_no_order()} | self._resources
        mine = {key: owner for key, owner in listed.items() if key[0] in ours}
        keys, now = claims.to_observe(self.ledger, mine), self.clock()
        for begin in range(0, len(keys), _PART):
            part = keys[begin : begin + _PART]
            self._take(claims.observe_some(self.ledger, part, mine, self._items, asked, now))
            yield
        self._take(self.ledger._replace(answered=True))
        self._report()

    def opened(self, openers: tuple[Opener, ...], asked: float) -> None:
        """Note who has nodes open."""
        self._take(claims.opened(self.ledger, openers, asked))
        self._report()

    def strangers(self, openers: tuple[Opener, ...]) -> None:
        """Note who has nodes open, as seen in a look at the host; of claims it is known better."""
        if openers != self.ledger.openers and not self.ledger.claims:
            self._take(self.ledger._replace(openers=Openers(openers)))

    def told(self, pods: tuple[PodSpec, ...]) -> None:
        """Note what pods want, as the kubelet streams it; none: it does not."""
        if pods != self.ledger.specs.pods:
            self._take(self.ledger._replace(specs=self.ledger.specs._replace(pods=pods)))

    def returned(self) -> None:
        """Note that there is another kubelet."""
        self._take(claims.returned(self.ledger, self.clock()))

    def due(self) -> tuple[Claim, ...]:
        """Return what has ended and is to be released."""
        return claims.due(self.ledger, self.clock())

    def change(self, claim: Claim, **fields: Any) -> Claim:  # noqa: ANN401 - the fields of a claim
        """Change a claim, unless it is another one by now."""
        after = claim._replace(**fields)
        self._take(claims.changed(self.ledger, claim, after))
        return after

    def end(self, claim: Claim) -> None:
        """Release it."""
        self.counts.released()
        log.info("released resource=%s ids=%s was=%s", claim.resource, claim.id, claim.owner or claim.former)
        self._take(claims.changed(self.ledger, claim, None))

    def beside(self, resource: str) -> frozenset[tuple[int, int, int]]:
        """Return the slots of which other resources have just given functions."""
        now = self.clock()
        return frozenset(
            address.slot
            for claim in self.ledger.claims.in_no_order()
            if claim.resource != resource and now < claim.since + claims.SETTLE
            for address in claim.members
        )

    def _take(self, ledger: Ledger) -> None:
        before, self.ledger = self.ledger, ledger
        if ledger.claims is not before.claims or ledger.renewed != before.renewed:
            self._save(before)
        if ledger != before:
            self.changed.ring()

    def _save(self, before: Ledger) -> None:
        if self._file is None:
            return
        try:
            self._file.keep(before, self.ledger)
        except OSError as error:
            # The plugin goes on: only one that is killed now would have to ask the kubelet first.
            if str(error) != self._unsaved:
                log.error("%s: what is allocated is not kept: %s", self._file.path, error.strerror)  # noqa: TRY400 - its word is enough
            self._unsaved = str(error)
        else:
            self._unsaved = None

    def _report(self) -> None:
        """Say what is wrong, each thing once."""
        if self._conflicts[0] is not self.ledger.claims:
            self._conflicts = self.ledger.claims, conflicts(self.ledger)
        found: dict[tuple[object, ...], str] = {
            _identity(conflict): str(conflict) for conflict in self._conflicts[1]
        }
        for _ in found.keys() - self._seen:
            self.counts.conflicted()
        for claim, opener in leaks(self.ledger, self.clock()):
            text = f"leak: {opener} has the group of {claim.id} open, and its pod is gone"
            found["leak", claim.key, opener.pid] = text
        for identity, text in found.items():
            if identity not in self._seen:
                log.warning("%s", text)
        self._seen = frozenset(found)


def _identity(conflict: Conflict) -> tuple[object, ...]:
    later = conflict.later
    return ("conflict", conflict.group, later.key, later.owner and later.owner.of_pod)
