"""GetPreferredAllocation: which of the available items go together best.

In this order: what must be included, with the rest of its slots and groups; the fewest IOMMU groups, and
those used up; the fewest slots; one NUMA node; one root port; the lowest addresses. The same question has the
same answer.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.values import Denied
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from vfioctl.model.host import Host
    from vfioctl.plugin.values import Item, Offer


class _Place(NamedTuple):
    """An available item, and where it is."""

    order: int
    id: str
    group: Hashable
    slot: Hashable
    numa: tuple[int, ...]
    root: Hashable


def prefer(
    host: Host,
    offer: Offer,
    available: Iterable[str],
    must_include: Iterable[str],
    size: int,
    beside: frozenset[tuple[int, int, int]] = frozenset(),
) -> tuple[str, ...] | Denied:
    """Choose `size` of the available items, in the offer's order.

    `beside` are slots of which another resource just gave a function: the rest of the card goes with it.
    """
    must = frozenset(must_include)
    candidates = frozenset(available) | must
    known = {item.id: item for item in offer.items}
    if unknown := sorted(must - known.keys()):
        return Denied("NOT_FOUND", f"{offer.resource} has no item {' '.join(unknown)}")
    there = len(candidates & known.keys())
    if not len(must) <= size <= there:
        return Denied(
            "INVALID_ARGUMENT", f"{size} of {there} items of {offer.resource}, {len(must)} of them given"
        )
    places = [_place(host, order, item) for order, item in enumerate(offer.items) if item.id in candidates]
    fixed = [place for place in places if place.id in must]
    free = [place for place in places if place.id not in must]
    chosen = _completed(fixed, free, size, beside)
    return tuple(place.id for place in sorted(chosen))


def _place(host: Host, order: int, item: Item) -> _Place:
    device = host.by_address.get(item.members[0]) if item.members else None
    slot = item.members[0].slot if item.members else item.id
    above = tuple(host.ancestors(device)) if device is not None else ()
    root = above[-1].address if above else slot
    # What has no group shares none.
    return _Place(order, item.id, item.id if item.group is None else item.group, slot, item.numa_nodes, root)


def _completed(
    fixed: Sequence[_Place], free: Sequence[_Place], size: int, beside: frozenset[Hashable]
) -> list[_Place]:
    """Add to what must be included the rest of its slots and groups, then what goes together best."""
    slots = {place.slot for place in fixed}
    groups = {place.group for place in fixed}
    near = sorted(
        (place for place in free if place.group in groups),
        key=lambda place: (place.slot not in slots, place.order),
    )
    chosen = [*fixed, *near[: size - len(fixed)]]
    wanted = size - len(chosen)
    if not wanted:
        return chosen
    rest = [place for place in free if place.group not in groups]
    options = [
        option
        for scope in _scopes(rest, chosen)
        if len(scope) >= wanted
        for option in (_fewest_groups(scope, wanted, beside),)
    ]
    best = min(options, key=lambda option: _cost([*chosen, *option], [*fixed, *free], beside))
    return [*chosen, *best]


def _scopes(rest: Sequence[_Place], chosen: Sequence[_Place]) -> list[list[_Place]]:
    """Return where to look: in each slot, root port and NUMA node, beside what is chosen, everywhere."""
    scopes: dict[Hashable, list[_Place]] = {"everywhere": list(rest)}
    slots = {place.slot for place in chosen}
    for place in rest:
        here = {"slot": place.slot, "root": place.root, "numa": place.numa, "both": (place.numa, place.root)}
        for key in here.items():
            scopes.setdefault(key, []).append(place)
    scopes["beside"] = sorted(rest, key=lambda place: (place.slot not in slots, place.order))
    return list(scopes.values())


def _fewest_groups(scope: Sequence[_Place], wanted: int, beside: frozenset[Hashable]) -> list[_Place]:
    """Choose from as few groups as will do, used up where that can be, in the scope's order otherwise."""
    groups: dict[Hashable, list[_Place]] = {}
    for place in sorted(scope, key=lambda place: place.slot not in beside):
        groups.setdefault(place.group, []).append(place)
    by_size: dict[int, list[list[_Place]]] = {}
    for members in groups.values():
        by_size.setdefault(len(members), []).append(members)
    chosen: list[_Place] = []
    for count in _sizes(Counter({number: len(found) for number, found in by_size.items()}), wanted):
        chosen += by_size[count].pop(0)
    return chosen[:wanted]


def _sizes(groups: Counter[int], wanted: int) -> list[int]:
    """Return the sizes of the groups to use, the one that is not used up last."""
    largest = sorted(groups.elements(), reverse=True)
    fewest, total = 0, 0
    while total < wanted:
        total += largest[fewest]
        fewest += 1
    distinct = tuple(sorted(groups.items(), reverse=True))

    @cache
    def exactly(index: int, number: int, items: int) -> tuple[int, ...] | None:
        """Return sizes of exactly so many groups that have exactly so many items."""
        if not number or not items or index == len(distinct):
            return () if number == items == 0 else None
        each, there = distinct[index]
        for take in range(min(there, number, items // each), -1, -1):
            rest = exactly(index + 1, number - take, items - take * each)
            if rest is not None:
                return (*(each,) * take, *rest)
        return None

    used_up = exactly(0, fewest, wanted)
    if used_up is not None:
        return list(used_up)
    # All but one are used up: the largest, and the smallest that has the rest.
    sizes = largest[: fewest - 1]
    rest = wanted - sum(sizes)
    return [*sizes, min(number for number in largest[fewest - 1 :] if number >= rest)]


def _cost(
    chosen: Sequence[_Place], places: Sequence[_Place], beside: frozenset[Hashable]
) -> tuple[object, ...]:
    """Return what a choice costs, the weightiest first."""
    taken = Counter(place.group for place in chosen)
    there = Counter(place.group for place in places)
    return (
        len(taken),
        sum(number < there[group] for group, number in taken.items()),
        -sum(place.slot in beside for place in chosen),
        len({place.slot for place in chosen}),
        len({place.numa for place in chosen}),
        len({place.root for place in chosen}),
        sorted(place.order for place in chosen),
    )
