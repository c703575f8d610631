"""The ownership table: every item, in which state it is, and whose."""

from __future__ import annotations

from enum import StrEnum

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.arbiter import Watch, arbitrate
from vfioctl.plugin.conflicts import conflicts, leaks
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vfioctl.plugin.arbiter import Modes
    from vfioctl.plugin.claims import Claim, Key, Ledger
    from vfioctl.plugin.status import Part
    from vfioctl.plugin.values import Item, Offer


class State(StrEnum):
    """Where an item is on its way from free to free."""

    FREE = "free"
    RESERVED = "reserved"
    """It was allocated, and the kubelet does not list it yet."""
    ALLOCATED = "allocated"
    IN_USE = "in-use"
    """A pod has it, and its group is open."""
    DRAINING = "draining"
    """The kubelet lists it no more, and it is not released yet."""


class Row(NamedTuple):
    """One item, as an operator sees it."""

    resource: str
    id: str
    addresses: tuple[str, ...]
    group: int | None
    state: State
    owner: str | None
    """A container, or the process that has its group open; None: nobody, or nobody knows yet."""
    health: str
    """``Healthy`` or ``Unhealthy``, as the kubelet is told."""
    reason: str | None
    """Why it is unhealthy, a word of `vfioctl.plugin.condition.REASONS`."""
    note: str | None = None
    """What else is to be said: who is in the way, a leak, a conflict."""


def state_of(ledger: Ledger, claim: Claim | None) -> State:
    """Return where an item is, given the claim on it."""
    if claim is None:
        return State.FREE
    if claim.absent is not None:
        return State.DRAINING
    if ledger.openers_of(claim.groups):
        return State.IN_USE
    return State.RESERVED if claim.owner is None else State.ALLOCATED


class Book:
    """A ledger, opened: rows of any item, as it is published."""

    def __init__(self, ledger: Ledger, modes: Modes, now: float) -> None:
        """Know who owns what at this time."""
        self.ledger = ledger
        self._modes = modes
        self._now = now
        self._notes = dict(_notes(ledger, now))
        self._watch = Watch(ledger)

    def row(self, item: Item) -> Row:
        """Return the row of an item."""
        key = item.resource, item.id
        claim = self.ledger.claim(key)
        return Row(
            item.resource,
            item.id,
            tuple(map(str, item.members)),
            item.group,
            state_of(self.ledger, claim),
            _owner(self.ledger, claim),
            "Healthy" if item.reason is None else "Unhealthy",
            item.reason,
            self._notes.get(key) or self._watch.in_the_way(item, self._modes, self._now),
        )


def table(ledger: Ledger, offers: Sequence[Offer], modes: Modes, now: float) -> tuple[Row, ...]:
    """Return every item of these offers, which say how the hardware is, with what owners add to it."""
    book = Book(ledger, modes, now)
    judged = arbitrate(ledger, offers, modes, now).offers
    return tuple(book.row(item) for offer in judged for item in offer.items)


def part(book: Callable[[], Book]) -> Part:
    """Return what ``plugin status`` tells of each item beside its health."""

    def told(item: Item) -> dict[str, object]:
        row = book().row(item)
        return {"state": row.state.value, "owner": row.owner, "note": row.note}

    return told


def _owner(ledger: Ledger, claim: Claim | None) -> str | None:
    if claim is None:
        return None
    if claim.owner is not None:
        return str(claim.owner)
    return next(map(str, ledger.openers_of(claim.groups)), None)


def _notes(ledger: Ledger, now: float) -> Iterator[tuple[Key, str]]:
    for conflict in conflicts(ledger):
        yield conflict.later.key, str(conflict)
    for claim, opener in leaks(ledger, now):
        gone = now - claim.absent if claim.absent is not None else 0.0
        yield claim.key, f"leak: {opener} has it open, and its pod is gone for {gone:.0f} s"
