"""What was decided about resources that nothing has touched since: most of them, where one device changed.

To apply a configuration to four thousand functions takes a third of a second. What a resource offers depends
on the functions it selects, on the groups and slots of these, and on what holds for the whole host; so a
resource of which none of that changed is as it was.
"""

from __future__ import annotations

from vfioctl.model.device import PhysicalFunction
from vfioctl.model.likeness import between
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.lots import lots, resources_of, selects
from vfioctl.plugin.resources import NOTHING, begun, claimed, offered, put_together, selected, spread_groups
from vfioctl.plugin.selection import Selection
from vfioctl.plugin.settings import Kind
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TypeVar

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.plugin.lots import Lot
    from vfioctl.plugin.resources import Piece, Sorted
    from vfioctl.plugin.settings import Config
    from vfioctl.plugin.sight import Sight
    from vfioctl.plugin.values import Item

    Part = TypeVar("Part")


class _Known(NamedTuple):
    """All that was decided at the last look, and what it was decided from."""

    host: Host
    config: Config
    cordoned: frozenset[str]
    sight: Sight
    pieces: dict[str, Piece]
    reaches: dict[str, _Reach]
    selection: Selection


class _Nodes:
    """Asks for device nodes, and remembers what was answered."""

    def __init__(self) -> None:
        self._answers: dict[str, bool | None] = {}

    def asking(self, sight: Sight) -> Sight:
        """Return a sight whose answers are remembered."""
        has_node = sight.has_node

        def asked(path: str) -> bool | None:
            answer = self._answers[path] = has_node(path)
            return answer

        return sight._replace(has_node=asked)

    def same(self, sight: Sight) -> bool:
        """Tell whether all that was asked is answered as before; else it is forgotten."""
        if all(sight.has_node(path) is answer for path, answer in self._answers.items()):
            return True
        self._answers.clear()
        return False


class _Reach(NamedTuple):
    """What a resource is about."""

    slots: frozenset[tuple[int, int, int]]
    groups: frozenset[int]


class Memory:
    """Sorts out as `vfioctl.plugin.resources.sort_out` does, and not again what must be the same."""

    def __init__(self) -> None:
        """Know nothing."""
        self._known: _Known | None = None
        self._nodes = _Nodes()

    def sort_out(
        self,
        host: Host,
        config: Config,
        cordoned: frozenset[str],
        sight: Sight,
        touched: frozenset[PciAddress] | None,
    ) -> Sorted:
        """Decide which resource offers what.

        ``touched`` are the functions of which anything may have changed, their nodes included; None: all. Of
        these what did change is another object than before, but for nodes, which are asked for.
        """
        known, changes = self._known, None
        if touched is None and self._nodes.same(sight):
            touched = frozenset()
        if known is not None and touched is not None and _same_world(known, host, config, cordoned, sight):
            changes = _changes(known, host, touched)
        kept = _untouched(known, host, changes) if known and changes else {}
        items = _same_items(known, changes, kept) if known and changes else {}
        asking = self._nodes.asking(sight)
        selection = known.selection.after(host, changes.addresses) if known and changes else Selection(host)
        selections = [
            kept[one.name].selected if one.name in kept else selected(one, lots(host, one, asking, selection))
            for one in resources_of(host, config)
        ]
        claims = claimed(selections)
        fits = [kept.get(one.resource.name) or begun(host, one, claims, asking) for one in selections]
        spread = spread_groups(fits)
        pieces = {
            name: kept.get(name) or offered(host, piece, spread, cordoned, asking, items.get(name, NOTHING))
            for name, piece in ((piece.resource.name, piece) for piece in fits)
        }
        reaches = {
            name: known.reaches[name] if known is not None and name in kept else _reach(piece.selected.lots)
            for name, piece in pieces.items()
        }
        self._known = _Known(host, config, cordoned, sight, pieces, reaches, selection)
        return put_together(list(pieces.values()), claims)


def _reach(found: Iterable[Lot]) -> _Reach:
    functions = [function for lot in found for function in lot.functions]
    groups = (function.iommu_group for function in functions)
    return _Reach(
        frozenset(function.address.slot for function in functions),
        frozenset(group for group in groups if group is not None),
    )


def _same_world(known: _Known, host: Host, config: Config, cordoned: frozenset[str], sight: Sight) -> bool:
    """Tell whether all is as it was but devices and groups."""
    return (
        known.config is config
        and known.cordoned == cordoned
        and known.sight == sight
        and _bare(known.host) == _bare(host)
    )


def _bare(host: Host) -> Host:
    return host._replace(devices=(), groups=(), unread=())


class _Changes(NamedTuple):
    """What changed since the last look."""

    addresses: frozenset[PciAddress]
    slots: frozenset[tuple[int, int, int]]
    groups: frozenset[int]
    present: tuple[PciDevice, ...]
    """The functions that are there now."""

    def concern(self, reach: _Reach) -> bool:
        """Tell whether they are about any slot or group of these."""
        return not (reach.slots.isdisjoint(self.slots) and reach.groups.isdisjoint(self.groups))

    def concern_any(self, functions: Iterable[PciDevice]) -> bool:
        """Tell whether they are about the slot or the group of any of these."""
        return any(one.iommu_group in self.groups or one.address.slot in self.slots for one in functions)


def _changes(known: _Known, host: Host, touched: frozenset[PciAddress]) -> _Changes | None:
    """Return what changed; None where selectors may match others because of it."""
    then, now = known.host.by_address, host.by_address
    unread = {address for address, _ in known.host.unknown_fields ^ host.unknown_fields}
    changed = touched | unread | {one.address for one in _differing(known.host.devices, host.devices)}
    if any(_reaches_further(then.get(address), now.get(address)) for address in changed):
        return None
    groups = {one.id for one in _differing(known.host.groups, host.groups)}
    both = (side.get(address) for side in (then, now) for address in changed)
    groups |= {one.iommu_group for one in both if one is not None and one.iommu_group is not None}
    return _Changes(
        frozenset(changed),
        frozenset(address.slot for address in changed),
        frozenset(groups),
        tuple(now[address] for address in changed if address in now),
    )


def _untouched(known: _Known, host: Host, changes: _Changes) -> dict[str, Piece]:
    """Return what is known of resources that no change concerns."""
    return {
        name: piece
        for name, piece in known.pieces.items()
        if piece.resource.kind is Kind.PCI
        and not changes.concern(known.reaches[name])
        and not any(selects(piece.resource.select, device, host) for device in changes.present)
    }


def _same_items(known: _Known, changes: _Changes, kept: Mapping[str, Piece]) -> dict[str, Mapping[str, Item]]:
    """Return, of each other resource, the items that no change concerns, by their ids."""
    found: dict[str, Mapping[str, Item]] = {}
    for name in known.pieces.keys() - kept.keys():
        piece = known.pieces[name]
        if piece.resource.kind is Kind.PCI:
            near = {lot.id for lot in piece.selected.lots if changes.concern_any(lot.functions)}
            found[name] = {item.id: item for item in piece.offer.items if item.id not in near}
    return found


def _differing(then: Sequence[Part], now: Sequence[Part]) -> Iterator[Part]:
    """Yield what is on one side only, among others; what did not change is the very same object on both."""
    old, new = between(then, now)
    both = {id(one) for one in then[old]} & {id(one) for one in now[new]}
    for part in (*then[old], *now[new]):
        if id(part) not in both:
            yield part


def _reaches_further(then: PciDevice | None, now: PciDevice | None) -> bool:
    """Tell whether selectors may match other devices because of this one's change."""
    if then is not None and now is not None:
        return _ties(then) != _ties(now)
    one = then or now
    return one is not None and (one.is_bridge or one.sriov is not None)


def _ties(device: PciDevice) -> tuple[object, ...]:
    # What a term about other devices asks of this one: "under:" and "vfs-of:", which takes interfaces too.
    interfaces = device.net_interfaces if isinstance(device.sriov, PhysicalFunction) else ()
    return device.parent, device.header, device.sriov, interfaces
