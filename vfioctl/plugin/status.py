"""What ``plugin status`` is told: how all stands, put together from parts that others hand in."""

from __future__ import annotations

import os
from time import monotonic

from vfioctl import __version__
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.standing import standing
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from vfioctl.plugin.protocol import Result
    from vfioctl.plugin.standing import Served
    from vfioctl.plugin.supervisor import Supervisor
    from vfioctl.plugin.troubles import Trouble
    from vfioctl.plugin.values import Item

Part: TypeAlias = "Callable[[Item], Mapping[str, object]]"
"""What else is known of an item: ``state`` and ``owner`` have columns of their own where they are told."""


class Facts(NamedTuple):
    """Everything that a status is made of, as it was at one moment."""

    about: Result
    """What is said of the plugin as a whole."""
    served: tuple[Served, ...]
    allocations: Mapping[tuple[str, str], int]
    told: Mapping[Item, Sequence[Mapping[str, object]]]
    """What the parts know of each item."""


def facts(plugin: Supervisor, parts: Sequence[Part] = ()) -> Facts:
    """Take down how a plugin stands: quickly, as nothing else happens meanwhile."""
    stood, rules = standing(plugin), plugin.rules
    about = {
        "version": __version__,
        "pid": os.getpid(),
        "seconds_running": int(monotonic() - plugin.began),
        "ready": stood.unready is None,
        "summary": stood.summary(),
        "config": {"file": rules.file, "error": stood.reload_error},
        "kubelet": {
            "folder": rules.kubelet_dir,
            "sockets": rules.sockets_dir,
            "registration": "watcher" if rules.watcher else "kubelet",
            "present": stood.kubelet,
        },
        "listen": rules.listen or None,
        "host": {
            "looks": plugin.look.count,
            "seconds_since_look": int(stood.since_look) if stood.looked else None,
            "error": stood.look_error,
        },
        "ownership": {"troubles": [_trouble(one) for one in stood.troubles]},
        "cordoned": sorted(rules.cordoned),
    }
    items = (item for one in stood.served for item in one.offer.items)
    told = {item: [part(item) for part in parts] for item in items} if parts else {}
    return Facts(about, stood.served, plugin.counts.allocations.copy(), told)


def status(found: Facts) -> Result:
    """Return how a plugin stands; of thousands of items that takes a while, so it is done beside the loop."""
    allocations: dict[str, dict[str, int]] = {}
    for (resource, result), count in sorted(found.allocations.items()):
        allocations.setdefault(resource, {})[result] = count
    return {
        **found.about,
        "resources": [
            {
                "name": one.offer.resource,
                "registration": one.state.phase,
                "registered": one.listening and one.state.phase == "up",
                "streams": one.state.streams,
                "error": one.state.error,
                "allocations": allocations.get(one.offer.resource, {}),
                "items": [_item(item, found) for item in one.offer.items],
            }
            for one in found.served
        ],
    }


def _trouble(one: Trouble) -> Result:
    return {"source": one.source.value, "error": one.error, "seconds": int(one.seconds), "text": str(one)}


def _item(item: Item, found: Facts) -> Result:
    told: Result = {
        "id": item.id,
        "members": [str(address) for address in item.members],
        "iommu_group": item.group,
        "numa_nodes": list(item.numa_nodes),
        "healthy": item.reason is None,
        "reason": item.reason,
    }
    for more in found.told.get(item, ()):
        told.update(more)
    return told
