"""From ids to what the container gets: variables, device nodes, CDI names; or why not."""

from __future__ import annotations

import json

from vfioctl.plugin.condition import REASONS, in_words, unfit, why_left_out
from vfioctl.plugin.lots import lot_named, resource_named
from vfioctl.plugin.names import json_variable, kubevirt_variable, pcidevice_variable
from vfioctl.plugin.nodes import Lacking, device_nodes
from vfioctl.plugin.resources import EVERYTHING
from vfioctl.plugin.settings import EnvStyle
from vfioctl.plugin.values import Denied, Grant, Node
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TypeAlias

    from vfioctl.model.host import Host
    from vfioctl.plugin.lots import Lot
    from vfioctl.plugin.settings import Config, Resource
    from vfioctl.plugin.sight import Sight
    from vfioctl.plugin.values import Item, Offer

    Asked: TypeAlias = tuple[str, ...]

PERMISSIONS = "rw"
"""Nobody needs mknod; an empty text would be refused by runc when the container starts."""

CDI_KIND = "vfioctl.io/vfio"
"""Vendor and class of the CDI names that are handed out."""


_MOST_GRANTS = 4096
"""Grants that are kept at one time: one for each item, and room for some of several items."""


class Allocations:
    """What is granted on one host under one configuration: worked out once for the same ids of an offer.

    Of all that a grant depends on only device nodes can change meanwhile; they are looked for each time.
    """

    def __init__(self, host: Host, config: Config, sight: Sight = EVERYTHING) -> None:
        """Grant nothing yet."""
        self._host = host
        self._config = config
        self._sight = sight
        self._granted: dict[tuple[str, Asked], tuple[Offer, Grant]] = {}

    def allocate(self, offer: Offer, ids: Asked) -> Grant | Denied:
        """Return what `allocate` does; the very object of before where it would be equal."""
        offered, grant = self._granted.get((offer.resource, ids), (None, None))
        if grant is not None and offered is offer and not self._lacks_node(grant):
            return grant
        answer = allocate(self._host, self._config, offer, ids, self._sight)
        # Behind a CDI name are nodes that only the whole way looks for.
        if isinstance(answer, Grant) and not answer.cdi:
            if len(self._granted) >= _MOST_GRANTS:
                self._granted.clear()
            self._granted[offer.resource, ids] = offer, answer
        return answer

    def _lacks_node(self, grant: Grant) -> bool:
        return any(self._sight.has_node(node.host_path) is False for node in grant.nodes)


def allocate(
    host: Host, config: Config, offer: Offer, ids: Iterable[str], sight: Sight = EVERYTHING
) -> Grant | Denied:
    """Return what a container gets for these ids of an offer, in whatever order they came.

    The host is held against the offer as it was published: an item that is gone, or in another IOMMU group,
    is refused. The same ids give the same grant again: the kubelet asks for init containers and for others.
    """
    asked = set(ids)
    if not asked:
        return Denied("INVALID_ARGUMENT", f"no item of {offer.resource} was asked for")
    if unknown := sorted(asked - offer.places.keys()):
        return Denied("NOT_FOUND", f"{offer.resource} has no item {' '.join(unknown)}")
    # In the offer's order, which is that of addresses: the guest's order must not change from start to start.
    items = [offer.items[place] for place in sorted(offer.places[one] for one in asked)]
    resource = resource_named(config, offer.resource)
    if resource is None:
        return Denied("NOT_FOUND", f"{offer.resource} is not configured any more")
    chosen: list[Lot] = []
    for item in items:
        lot = lot_named(host, resource, item.id, sight)
        problem = f"{REASONS['missing']} (missing)" if lot is None else _problem(host, item, lot, sight)
        if problem is not None or lot is None:
            return Denied("FAILED_PRECONDITION", f"{item.id} of {offer.resource}: {problem}")
        chosen.append(lot)
    return _grant(host, resource, chosen, items)


def _problem(host: Host, item: Item, lot: Lot, sight: Sight) -> str | None:
    if item.reason is not None:
        return f"{REASONS.get(item.reason, item.reason)} ({item.reason})"
    if why := why_left_out(host, lot, sight):
        return why
    if lot.group != item.group:
        return f"it is in IOMMU group {lot.group} now, and was offered in {item.group} (group-changed)"
    if tuple(function.address for function in lot.functions) != item.members:
        return "its functions are not those that it was offered with (group-changed)"
    reason = unfit(host, lot, sight)
    return None if reason is None else f"{in_words(host, lot, sight, reason)} ({reason})"


def _grant(host: Host, resource: Resource, chosen: Sequence[Lot], items: Sequence[Item]) -> Grant | Denied:
    envs = tuple(_variables(host, resource, chosen, items))
    if resource.cdi:
        # The CDI specification names the nodes; naming them here as well would be an error.
        members = (function.address for lot in chosen for function in lot.functions)
        return Grant(envs, cdi=tuple(f"{CDI_KIND}={address}" for address in members))
    paths: dict[str, None] = {}
    for lot in chosen:
        needed = device_nodes(host, lot)
        if isinstance(needed, Lacking):
            return Denied("FAILED_PRECONDITION", needed.what)
        paths.update(dict.fromkeys(needed))
    return Grant(envs, tuple(Node(path, path, PERMISSIONS) for path in paths))


def _variables(
    host: Host, resource: Resource, chosen: Sequence[Lot], items: Sequence[Item]
) -> Iterator[tuple[str, str]]:
    listed = ",".join(_in_variable(lot) for lot in chosen)
    for style in resource.env:
        match style:
            case EnvStyle.KUBEVIRT:
                yield kubevirt_variable(resource.kind, resource.name), listed
            case EnvStyle.PCIDEVICE:
                yield pcidevice_variable(resource.name), listed
            case EnvStyle.JSON:
                described = [_described(host, lot, item) for lot, item in zip(chosen, items, strict=True)]
                yield json_variable(resource.name), json.dumps(described, separators=(",", ":"))


def _in_variable(lot: Lot) -> str:
    """Return what stands for an item in a list: one entry each, since virt-launcher counts them."""
    return f"{lot.usb.bus}:{lot.usb.device}" if lot.usb is not None else lot.id


def _described(host: Host, lot: Lot, item: Item) -> dict[str, object]:
    needed = device_nodes(host, lot)
    described: dict[str, object] = {
        "id": lot.id,
        "addresses": [str(address) for address in item.members],
        "iommu_group": item.group,
        "numa_nodes": list(item.numa_nodes),
        "nodes": [] if isinstance(needed, Lacking) else list(needed),
    }
    if lot.usb is not None:
        described |= {"bus": lot.usb.bus, "device": lot.usb.device, "usb_id": lot.usb.ids}
    if lot.mdev is not None:
        described["mdev_type"] = lot.mdev.type_id
    return described
