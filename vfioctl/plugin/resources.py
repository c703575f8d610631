"""What is offered under which name: a pure function of a host and a configuration."""

from __future__ import annotations

from types import MappingProxyType

from vfioctl.errors import UsageError
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.condition import unfit, why_left_out
from vfioctl.plugin.lots import lots, resources_of
from vfioctl.plugin.selection import Selection
from vfioctl.plugin.settings import Kind, SharedGroup
from vfioctl.plugin.sight import Sight
from vfioctl.plugin.values import Item, Offer
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host
    from vfioctl.plugin.lots import Lot
    from vfioctl.plugin.settings import Config, Resource

    Thing: TypeAlias = "PciAddress | str"

NOTHING: Mapping[str, Item] = MappingProxyType({})
EVERYTHING = Sight()
"""This host's own device nodes, and no word about USB devices."""


class LeftOut(NamedTuple):
    """Something that a resource selects and does not offer, and why."""

    id: str
    resource: str
    why: str


class Tie(NamedTuple):
    """Something that several resources select with the same priority; none of them gets it."""

    id: str
    resources: tuple[str, ...]


class Claims(NamedTuple):
    """Who selects each thing, those of the highest priority only."""

    owners: Mapping[Thing, tuple[Resource, ...]]
    ties: tuple[Tie, ...]


class Sorted(NamedTuple):
    """A configuration applied to a host."""

    resources: tuple[Resource, ...]
    offers: tuple[Offer, ...]
    """One for each resource, in the order of the configuration."""
    left_out: tuple[LeftOut, ...]
    ties: tuple[Tie, ...]


def sort_out(
    host: Host, config: Config, cordoned: frozenset[str] = frozenset(), sight: Sight = EVERYTHING
) -> Sorted:
    """Decide which resource offers what, and why not what else it selects.

    What is cordoned is named by its item's id or by an address within the item. A thing that two resources
    select belongs to the one of higher priority, whether or not that one can offer it: then a change of a
    driver moves nothing from one resource to another.
    """
    resources = resources_of(host, config)
    selection = Selection(host)
    selections = [selected(resource, lots(host, resource, sight, selection)) for resource in resources]
    claims = claimed(selections)
    pieces = [begun(host, one, claims, sight) for one in selections]
    spread = spread_groups(pieces)
    return put_together([offered(host, piece, spread, cordoned, sight) for piece in pieces], claims)


class Selected(NamedTuple):
    """What a resource selects."""

    resource: Resource
    lots: tuple[Lot, ...]
    things: tuple[Thing, ...]
    """All that these take."""


def selected(resource: Resource, found: Iterable[Lot]) -> Selected:
    """Put together what a resource selects."""
    found = tuple(found)
    return Selected(resource, found, tuple(thing for lot in found for thing in lot.things))


class Piece(NamedTuple):
    """One resource, applied to a host."""

    selected: Selected
    fit: tuple[Lot, ...]
    """What of it can be offered."""
    left_out: tuple[LeftOut, ...]
    groups: tuple[tuple[int, str], ...]
    """Every IOMMU group that one of these takes, with its id."""
    offer: Offer
    kept_back: tuple[LeftOut, ...] = ()
    """What of that is not offered because of other items."""

    @property
    def resource(self) -> Resource:
        """The resource."""
        return self.selected.resource


def begun(host: Host, wanted: Selected, claims: Claims, sight: Sight) -> Piece:
    """Decide what a resource could offer of what it selects, given who else selects what."""
    resource = wanted.resource
    left_out: list[LeftOut] = []
    fit: list[Lot] = []
    for lot in wanted.lots:
        why = _lost(lot, claims) or why_left_out(host, lot, sight)
        if why is None:
            fit.append(lot)
        else:
            left_out.append(LeftOut(lot.id, resource.name, why))
    groups = tuple((group, lot.id) for lot in fit for group in lot.groups)
    return Piece(wanted, tuple(fit), tuple(left_out), groups, Offer(resource.name, ()))


def offered(
    host: Host,
    piece: Piece,
    spread: Mapping[int, Sequence[str]],
    cordoned: frozenset[str],
    sight: Sight,
    known: Mapping[str, Item] = NOTHING,
) -> Piece:
    """Decide what it does offer, given which groups are spread over several items.

    ``known`` are items, by their ids, that must be as they were.
    """
    resource = piece.resource
    shared = _kept_back(resource, piece.fit, spread)
    back = [LeftOut(one, resource.name, why) for one, why in shared.items()]
    lots_offered = (lot for lot in piece.fit if lot.id not in shared)
    items = (known.get(lot.id) or _item(host, lot, unfit(host, lot, sight, cordoned)) for lot in lots_offered)
    if resource.kind is Kind.USB and sight.usb is None:
        back.append(LeftOut("usb", resource.name, "this host does not say which USB devices it has"))
    return piece._replace(offer=Offer(resource.name, tuple(items)), kept_back=tuple(back))


def put_together(pieces: Sequence[Piece], claims: Claims) -> Sorted:
    """Return what was decided about all resources."""
    left_out = [one for piece in pieces for one in piece.left_out]
    left_out += [one for piece in pieces for one in piece.kept_back]
    return Sorted(
        tuple(piece.resource for piece in pieces),
        tuple(piece.offer for piece in pieces),
        tuple(left_out),
        claims.ties,
    )


def offers(
    host: Host, config: Config, cordoned: frozenset[str] = frozenset(), sight: Sight = EVERYTHING
) -> tuple[Offer, ...]:
    """Return what every resource offers now, unhealthy items with their reason."""
    return sort_out(host, config, cordoned, sight).offers


def left_out(host: Host, config: Config, sight: Sight = EVERYTHING) -> tuple[LeftOut, ...]:
    """Return what is selected and not offered, and why."""
    return sort_out(host, config, sight=sight).left_out


def refuse_ties(sorted_out: Sorted) -> None:
    """Refuse to begin with a configuration that does not say who gets what.

    Raises:
        UsageError: two resources select one thing with the same priority.

    """
    if sorted_out.ties:
        tie = sorted_out.ties[0]
        more = f" (and {len(sorted_out.ties) - 1} more)" if len(sorted_out.ties) > 1 else ""
        raise UsageError(
            f"{tie.id} is selected by {' and '.join(tie.resources)} with the same priority{more}",
            hint="give one of them a higher priority, or exclude it from the other",
        )


def claimed(selections: Iterable[Selected]) -> Claims:
    """Return who selects each thing."""
    owners: dict[Thing, tuple[Resource, ...]] = {}
    tied = False
    for resource, _, things in selections:
        theirs: dict[Thing, tuple[Resource, ...]] = dict.fromkeys(things, (resource,))
        # Of thousands of things nearly all are one resource's alone: there is no step for each of those.
        for thing in theirs.keys() & owners.keys():
            others = owners[thing]
            if resource.priority <= others[0].priority:
                is_tie = resource.priority == others[0].priority
                theirs[thing] = (*others, resource) if is_tie else others
                tied = tied or is_tie
        owners |= theirs
    return Claims(owners, tuple(_ties(owners)) if tied else ())


def _ties(owners: Mapping[Thing, tuple[Resource, ...]]) -> Iterator[Tie]:
    for thing, resources in owners.items():
        if len(resources) > 1:
            yield Tie(str(thing), tuple(resource.name for resource in resources))


def _lost(lot: Lot, claims: Claims) -> str | None:
    for thing in lot.things:
        owners = claims.owners[thing]
        part = "it" if str(thing) == lot.id else str(thing)
        if owners[0].priority > lot.resource.priority:
            return f"{part} belongs to {owners[0].name}, which has priority {owners[0].priority}"
        if len(owners) > 1:
            others = " and ".join(owner.name for owner in owners if owner.name != lot.resource.name)
            return f"{part} is selected by {others} with the same priority"
    return None


def spread_groups(pieces: Iterable[Piece]) -> dict[int, list[str]]:
    """Return the groups of which more than one item would be offered, in whichever resource."""
    first: dict[int, str] = {}
    spread: dict[int, list[str]] = {}
    for piece in pieces:
        groups = dict(piece.groups)
        if len(groups) == len(piece.groups) and first.keys().isdisjoint(groups.keys()):
            first |= groups
            continue
        for group, item in piece.groups:
            if group in first:
                spread.setdefault(group, [first[group]]).append(item)
            else:
                first[group] = item
    return spread


def _kept_back(
    resource: Resource, kept: Sequence[Lot], spread: Mapping[int, Sequence[str]]
) -> dict[str, str]:
    """Return the items that `refuse` keeps back, with the reason."""
    if resource.shared_group is not SharedGroup.REFUSE:
        return {}
    found: dict[str, str] = {}
    for lot in kept:
        for group in lot.groups:
            if ids := spread.get(group):
                found[lot.id] = f"its IOMMU group {group} is spread over {len(ids)} items: {' '.join(ids)}"
    return found


def _item(host: Host, lot: Lot, reason: str | None) -> Item:
    places = lot.functions
    if lot.usb is not None and lot.usb.controller in host.by_address:
        places = (host.by_address[lot.usb.controller],)
    nodes = {device.numa_node for device in places if device.numa_node is not None and device.numa_node >= 0}
    return Item(
        id=lot.id,
        resource=lot.resource.name,
        members=tuple(device.address for device in lot.functions),
        numa_nodes=tuple(sorted(nodes)),
        group=lot.group,
        reason=reason,
        groups=lot.groups,
    )
