"""Claims by what they touch, as one value: whoever asks about one item does not walk through all claims."""

from __future__ import annotations

from operator import itemgetter

from vfioctl.model.value import NamedTuple
from vfioctl.plugin import shelves
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TypeAlias

    from vfioctl.plugin.claims import Claim, Key
    from vfioctl.plugin.shelves import Shelves

    Place: TypeAlias = str | int | tuple[str, float] | tuple[str, str]
    Changes: TypeAlias = "Mapping[Key, Claim] | Mapping[Key, Claim | None]"

_in_order = itemgetter(0, 1)
"""Resource and id come first in a claim, and no two claims have both."""


class Index(NamedTuple):
    """Where claims are found."""

    by_key: Shelves[Key, Claim]
    by_place: Shelves[Place, tuple[Claim, ...]]
    """By an item's id, a group's number, the call in which they came, and the pod that has them."""

    def replaced(self, changes: Changes) -> Index:
        """Return where they are found once some are others, or are no more."""
        moved: dict[Place, list[Claim]] = {}
        for key, after in changes.items():
            before = shelves.found(self.by_key, key)
            for place in () if before is None else _places(before):
                moved[place] = [one for one in self._there(moved, place) if one is not before]
            if after is not None:
                for place in _places(after):
                    moved[place] = [*self._there(moved, place), after]
        there = {place: tuple(sorted(claims, key=_in_order)) or None for place, claims in moved.items()}
        return Index(shelves.replaced(self.by_key, changes), shelves.replaced(self.by_place, there))

    def _there(self, moved: Mapping[Place, list[Claim]], place: Place) -> Iterable[Claim]:
        if place in moved:
            return moved[place]
        there = shelves.found(self.by_place, place)
        return there or ()


def _places(claim: Claim) -> list[Place]:
    places: list[Place] = [claim.id, *claim.groups]
    if claim.since:
        places.append((claim.resource, claim.since))
    if claim.owner is not None:
        places.append(claim.owner.of_pod)
    return places


_NOTHING = Index(shelves.EMPTY, shelves.EMPTY)


class Claims:
    """Claims, no two with the same key; walked in the order of their keys."""

    __slots__ = ("_ordered", "index")

    def __init__(self, claims: Iterable[Claim] = (), index: Index = _NOTHING) -> None:
        """Have these besides those of an index."""
        made = {claim.key: claim for claim in claims}
        self.index = index.replaced(made) if made else index
        self._ordered: tuple[Claim, ...] | None = None

    def replaced(self, changes: Changes) -> Claims:
        """Return claims of which some are others, or are no more: those for which None is given."""
        return Claims(index=self.index.replaced(changes)) if changes else self

    def get(self, key: Key) -> Claim | None:
        """Return the claim on an item."""
        return shelves.found(self.index.by_key, key)

    def on(self, item_id: str) -> tuple[Claim, ...]:
        """Return the claims on items of this id, of whichever resource."""
        return shelves.found(self.index.by_place, item_id) or ()

    def in_group(self, group: int) -> tuple[Claim, ...]:
        """Return the claims that touch an IOMMU group."""
        return shelves.found(self.index.by_place, group) or ()

    def of_call(self, call: tuple[str, float]) -> tuple[Claim, ...]:
        """Return the claims on what was given in one call for a resource, at this time."""
        return shelves.found(self.index.by_place, call) or ()

    def of_pod(self, pod: tuple[str, str]) -> tuple[Claim, ...]:
        """Return the claims of a pod, whichever containers."""
        return shelves.found(self.index.by_place, pod) or ()

    def shared_groups(self) -> list[tuple[int, tuple[Claim, ...]]]:
        """Return the groups that several claims touch, in order, with these."""
        pairs = (pair for part in self.index.by_place for pair in part.items() if len(pair[1]) > 1)
        return sorted((place, claims) for place, claims in pairs if isinstance(place, int))

    def places(self) -> frozenset[object]:
        """Return all that claims are on or touch, as ids and groups, among other things."""
        return frozenset().union(*self.index.by_place)

    def in_no_order(self) -> Iterator[Claim]:
        """Yield all claims, at once: to put thousands in order takes milliseconds."""
        return shelves.values(self.index.by_key)

    def items(self) -> Iterator[tuple[Key, Claim]]:
        """Yield all claims with their keys, in no order either."""
        return shelves.items(self.index.by_key)

    def since(self, before: Claims) -> Iterator[tuple[Key, Claim | None]]:
        """Yield what is another claim than before, or none any more."""
        return shelves.differences(self.index.by_key, before.index.by_key)

    def __iter__(self) -> Iterator[Claim]:
        """Yield them in the order of their keys."""
        return iter(self._all())

    def __getitem__(self, place: int) -> Claim:
        """Return the one at this place in the order."""
        return self._all()[place]

    def __len__(self) -> int:
        """Count them."""
        return sum(map(len, self.index.by_key))

    def __eq__(self, other: object) -> bool:
        """Compare claim by claim."""
        return isinstance(other, Claims) and self.index.by_key == other.index.by_key

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show them all."""
        return f"Claims({list(self)!r})"

    def _all(self) -> tuple[Claim, ...]:
        if self._ordered is None:
            self._ordered = tuple(sorted(self.in_no_order(), key=_in_order))
        return self._ordered
