"""Who has what: reservations, what the kubelet lists, and open nodes, as one value that is told the time.

A claim begins with an Allocate or with the kubelet's list. It ends when the kubelet has not listed it for ten
seconds and nobody has its group open: there is no Deallocate.
"""

from __future__ import annotations

from functools import cached_property

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.claimed import Claims
from vfioctl.plugin.specs import UNTOLD, Specs
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    from vfioctl.model.address import PciAddress
    from vfioctl.plugin.values import Item
    from vfioctl.sysfs.openers import Opener

    _Openers: TypeAlias = tuple[Opener, ...]
    Key: TypeAlias = "tuple[str, str]"
    """A resource's name and an item's id."""
else:
    _Openers = tuple

SETTLE = 3.0
"""Seconds in which the other Allocate calls for one pod come: back to back, in any order."""
GRACE = 10.0
"""Seconds that the kubelet must not list something before it counts as released."""
POLL = 5.0
"""Seconds between two questions to the kubelet while something is claimed."""
LEAK = 60.0
"""Seconds after which a node that is open without a pod is a leak."""
HOLD_OFF = 60.0
"""Seconds after a start, or a kubelet's return, for which it may not know its own pods yet."""


class Owner(NamedTuple):
    """A container, as the kubelet lists it."""

    namespace: str
    pod: str
    container: str

    @property
    def of_pod(self) -> tuple[str, str]:
        """The pod, whichever container."""
        return self.namespace, self.pod

    def __str__(self) -> str:
        """Name it as kubectl does."""
        return f"{self.namespace}/{self.pod} (container {self.container})"


class Claim(NamedTuple):
    """One item that a container has, will have, or has just had."""

    resource: str
    id: str
    groups: tuple[int, ...]
    members: tuple[PciAddress, ...] = ()
    since: float = 0.0
    """When it was allocated last; 0: before this plugin's time."""
    owner: Owner | None = None
    """Who has it; None until the kubelet lists it."""
    former: Owner | None = None
    """Who had it when it was allocated again."""
    absent: float | None = None
    """Since when the kubelet does not list it; None: it does, or has not been asked since the Allocate."""
    cleaning: bool = False
    """What is to be done on release is under way."""
    bound: tuple[PciAddress, ...] = ()
    """What was taken from the host's drivers for it, and goes back."""

    @property
    def key(self) -> Key:
        """What the kubelet calls it."""
        return self.resource, self.id


class Openers(_Openers):
    """Who has VFIO nodes open."""

    @cached_property
    def by_group(self) -> dict[int, list[Opener]]:
        """The same by the group whose node it is."""
        found: dict[int, list[Opener]] = {}
        for opener in self:
            found.setdefault(opener.group, []).append(opener)
        return found


class Ledger(NamedTuple):
    """All claims, and what is known of the rest."""

    started: float
    """When this plugin started."""
    claims: Claims = Claims()
    openers: Openers = Openers()
    scanned: float | None = None
    """As of when the open nodes are known."""
    answered: bool = False
    """Whether the kubelet has said once what pods have."""
    renewed: float | None = None
    """When a kubelet was seen to have returned."""
    specs: Specs = UNTOLD
    """What pods want, where the kubelet tells."""

    def claim(self, key: Key) -> Claim | None:
        """Return the claim on an item."""
        return self.claims.get(key)

    def quiet(self, now: float) -> bool:
        """Tell whether too little is known yet for anything but the hardware to decide about health."""
        return not self.answered and now < self.started + HOLD_OFF

    def openers_of(self, groups: Iterable[int]) -> tuple[Opener, ...]:
        """Return who has a node of these groups open."""
        known = self.openers.by_group
        return tuple(opener for group in groups for opener in known.get(group, ())) if known else ()


def observe(
    ledger: Ledger, listed: Mapping[Key, Owner], items: Mapping[Key, Item], asked: float, now: float
) -> Ledger:
    """Note what the kubelet lists of our resources; it was asked at ``asked`` and knows nothing later.

    A kubelet that has just returned may not know its pods yet: what it does not list is not held against
    anybody for a while.
    """
    keys = to_observe(ledger, listed)
    return observe_some(ledger, keys, listed, items, asked, now)._replace(answered=True)


def to_observe(ledger: Ledger, listed: Mapping[Key, Owner]) -> tuple[Key, ...]:
    """Return the keys about which a list of the kubelet may say anything new.

    Of thousands that nobody has any more most are known as such.
    """
    known = (
        key
        for key, claim in ledger.claims.items()
        if claim.absent is None or key in listed or not (claim.groups or claim.members)
    )
    return (*known, *(key for key in listed if ledger.claim(key) is None))


def observe_some(
    ledger: Ledger,
    keys: Iterable[Key],
    listed: Mapping[Key, Owner],
    items: Mapping[Key, Item],
    asked: float,
    now: float,
) -> Ledger:
    """Note what the kubelet lists of these only: it has not answered until all are noted."""
    returning = ledger.renewed is not None and now < ledger.renewed + HOLD_OFF
    changes: dict[Key, Claim] = {}
    for key in keys:
        before, owner = ledger.claim(key), listed.get(key)
        if before is not None:
            placed = before if before.groups or before.members else _placed(before, items.get(key))
            after = _observed(placed, owner, asked, now, returning)
        elif owner is not None:
            after = _placed(Claim(*key, (), owner=owner), items.get(key))
        else:
            continue  # It has ended meanwhile.
        if after is not before:
            changes[key] = after
    return ledger._replace(claims=ledger.claims.replaced(changes))


def _placed(claim: Claim, item: Item | None) -> Claim:
    """Add where an item is, where that was not known when the kubelet first listed it."""
    return claim if item is None else claim._replace(groups=item.groups, members=item.members)


def _observed(claim: Claim, owner: Owner | None, asked: float, now: float, returning: bool) -> Claim:  # noqa: FBT001 - a fact, not an option
    if claim.since >= asked:
        return claim
    if owner is not None:
        known = claim.owner == owner and claim.absent is None
        return claim if known else claim._replace(owner=owner, absent=None)
    if claim.absent is None and not returning:
        return claim._replace(absent=now)
    return claim


def opened(ledger: Ledger, openers: tuple[Opener, ...], asked: float) -> Ledger:
    """Note who has nodes open; the look began at ``asked``."""
    return ledger._replace(openers=Openers(openers), scanned=asked)


def returned(ledger: Ledger, now: float) -> Ledger:
    """Note that another kubelet answers than before: absences that were being counted begin anew."""
    counted = (one for one in ledger.claims.in_no_order() if one.absent is not None and not one.cleaning)
    changes = {claim.key: claim._replace(absent=None) for claim in counted}
    return ledger._replace(claims=ledger.claims.replaced(changes), renewed=now)


def due(ledger: Ledger, now: float) -> tuple[Claim, ...]:
    """Return the claims that have ended: nobody lists them, and nobody has their groups open."""
    ended = (
        claim
        for claim in ledger.claims.in_no_order()
        if lapsed(claim, now)
        and not claim.cleaning
        and ledger.scanned is not None
        and claim.absent is not None
        and ledger.scanned >= claim.absent
        and not ledger.openers_of(claim.groups)
    )
    return tuple(sorted(ended, key=_by_key))


def next_question(ledger: Ledger, last: float) -> float | None:
    """Return when to ask the kubelet and look for open nodes again; None while there is no reason to.

    A reservation is verified at the end of its window: whose it is, and whether it is anybody's. What is not
    listed is looked at again at the moment at which it can be released.
    """
    if ledger.answered and not ledger.claims and not ledger.openers:
        return None
    open_ones = (one for one in ledger.claims.in_no_order() if one.absent is not None or one.owner is None)
    moments = map(_moment, open_ones)
    return min([last + POLL, *(when for when in moments if when > last)])


def _moment(claim: Claim) -> float:
    return claim.since + SETTLE if claim.absent is None else claim.absent + GRACE


def _by_key(claim: Claim) -> Key:
    return claim.key


def lapsed(claim: Claim, now: float) -> bool:
    """Tell whether the kubelet has not listed it for so long that it is not a pod's any more."""
    return claim.absent is not None and now >= claim.absent + GRACE


def changed(ledger: Ledger, before: Claim, after: Claim | None) -> Ledger:
    """Replace a claim, or end it; nothing where it was allocated anew meanwhile."""
    now = ledger.claim(before.key)
    if now is None or now.since != before.since:
        return ledger
    return ledger._replace(claims=ledger.claims.replaced({before.key: after}))
