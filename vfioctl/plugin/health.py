"""Health over time: bad when it is sure, good again after one clean look, not forgotten while in use."""

from __future__ import annotations

from types import MappingProxyType

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.condition import REASONS, URGENT, unfit, why_left_out
from vfioctl.plugin.lots import lot_named, resource_named
from vfioctl.plugin.resources import EVERYTHING, sort_out
from vfioctl.plugin.settings import Kind
from vfioctl.plugin.values import Item, Offer
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from vfioctl.model.host import Host
    from vfioctl.plugin.claims import Claim
    from vfioctl.plugin.resources import Sorted
    from vfioctl.plugin.settings import Config
    from vfioctl.plugin.sight import Sight

__all__ = ["REASONS", "History", "Judged", "Known", "judge"]

FORGOTTEN_AFTER = 20
"""Looks after which something that is gone, and not allocated, is no longer listed."""


class Known(NamedTuple):
    """An item as it was published last."""

    item: Item
    doubt: str | None = None
    """A reason seen once that does not count yet."""
    gone: int = 0
    """For how many looks it has not been offered any more."""


class Shelf(NamedTuple):
    """One resource, as it was published last."""

    known: tuple[Known, ...]
    published: Offer | None = None
    offered: Offer | None = None
    """What would be published the very same way again."""

    @property
    def doubtful(self) -> bool:
        """Whether a reason of anything does not count yet."""
        return self.offered is None and any(one.doubt for one in self.known)


class History(NamedTuple):
    """What was published of each resource; the empty one knows nothing."""

    shelves: Mapping[str, Shelf] = MappingProxyType({})


def published_before(claims: Iterable[Claim]) -> History:
    """Return what an earlier plugin published and this one must go on with: what is claimed."""
    known: dict[str, list[Known]] = {}
    for one in claims:
        item = Item(one.id, one.resource, one.members, (), _first(one.groups), None, one.groups)
        known.setdefault(one.resource, []).append(Known(item))
    return History({resource: Shelf(tuple(items)) for resource, items in known.items()})


def _first(groups: tuple[int, ...]) -> int | None:
    return groups[0] if groups else None


class Judged(NamedTuple):
    """What to publish after a look at the host."""

    history: History
    """To be given to the next call."""
    offers: tuple[Offer, ...]
    sorted_out: Sorted
    """How it came about: what was left out, and ties."""
    unsettled: bool
    """Something is in doubt: look again soon rather than at the next regular resync."""


def judge(
    history: History,
    host: Host,
    config: Config,
    cordoned: frozenset[str] = frozenset(),
    sight: Sight = EVERYTHING,
    allocated: frozenset[str] | None = None,
    *,
    found: Sorted | None = None,
) -> Judged:
    """Hold a host against what was published: one call is one tick.

    `allocated` are the ids that containers have, None while nobody knows. What disappears stays listed,
    unhealthy, while it is allocated or that is unknown, and for `FORGOTTEN_AFTER` ticks otherwise: a device
    that is missing in the list would be healthy for the kubelet. ``found`` is what `sort_out` gives, where it
    is known.
    """
    found = sort_out(host, config, cordoned, sight) if found is None else found

    def lost(known: Iterable[Known]) -> Iterator[Known]:
        return (kept for one in known for kept in _lost(one, host, config, sight, allocated))

    shelves: dict[str, Shelf] = {}
    for offer in found.offers:
        before = history.shelves.get(offer.resource, Shelf(()))
        # Of thousands of items most are as they were.
        shelves[offer.resource] = before if before.offered is offer else _filled(before, offer, lost)
    for resource, before in history.shelves.items():
        if resource not in shelves and (known := tuple(lost(before.known))):
            shelves[resource] = Shelf(known, _published(resource, known))
    offers = tuple(one.published for one in shelves.values() if one.published is not None)
    return Judged(History(shelves), offers, found, any(one.doubtful for one in shelves.values()))


def _filled(before: Shelf, offer: Offer, lost: Callable[[Iterable[Known]], Iterable[Known]]) -> Shelf:
    """Return how a resource is to be published, of which this is offered."""
    left = {one.item.id: one for one in before.known}
    known = tuple([_next(left.pop(item.id, None), item) for item in offer.items])
    as_offered = all(one == (item, None, 0) for one, item in zip(known, offer.items, strict=True))
    known += tuple(lost(left.values()))
    settled = as_offered and len(known) == len(offer.items)
    return Shelf(known, _published(offer.resource, known), offer if settled else None)


def _published(resource: str, known: Iterable[Known]) -> Offer:
    return Offer(resource, tuple([one.item for one in known]))


def _next(before: Known | None, item: Item) -> Known:
    """Return an item that is offered, as it is to be published."""
    if before is None:
        return Known(item)
    if before.item is item and before.doubt is None and not before.gone:
        return before
    was = before.item
    reason = item.reason
    if reason is None and (was.group, was.members) != (item.group, item.members):
        reason = "group-changed"
    return _settled(before, item, reason)


def _settled(before: Known, item: Item, reason: str | None) -> Known:
    """Let a reason count: at once where it is urgent or one counted before, else when it is seen again."""
    counts = reason in URGENT or reason == "group-changed" or before.item.reason is not None or before.doubt
    if reason is None or counts:
        return Known(item if item.reason == reason else item._replace(reason=reason))
    return Known(item._replace(reason=None), doubt=reason)


def _lost(
    known: Known, host: Host, config: Config, sight: Sight, allocated: frozenset[str] | None
) -> Iterator[Known]:
    """Yield an item that is not offered any more, unless it can be forgotten."""
    item = known.item
    reason = _why_lost(host, config, sight, item)
    if reason is None:
        # It is fit, but no longer wanted: who has it keeps it, and nobody else gets it.
        if allocated is not None and item.id in allocated:
            yield _settled(known, item, _still_unfit(host, config, sight, item))
        return
    gone = known.gone + 1
    if allocated is None or item.id in allocated or gone < FORGOTTEN_AFTER:
        yield _settled(known, item, reason)._replace(gone=gone)


def _still_unfit(host: Host, config: Config, sight: Sight, item: Item) -> str | None:
    """Return how an item is that is offered no more, as far as it is known what it would need."""
    resource = resource_named(config, item.resource)
    lot = lot_named(host, resource, item.id, sight) if resource is not None else None
    return item.reason if lot is None else unfit(host, lot, sight)


def _why_lost(host: Host, config: Config, sight: Sight, item: Item) -> str | None:
    """Return what happened to an item, or None where the configuration took it away."""
    resource = resource_named(config, item.resource)
    if resource is None:
        return None
    lot = lot_named(host, resource, item.id, sight)
    if lot is None:
        return "missing"
    if why_left_out(host, lot, sight) is None:
        return None
    if resource.kind is not Kind.PCI:
        return "no-node"
    if any(device.iommu_group is None for device in lot.functions):
        return "group-changed"
    return "driver-changed"
