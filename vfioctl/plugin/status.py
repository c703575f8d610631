"""What ``plugin status`` is told: how all stands, put together from parts."""

from __future__ import annotations

import os
from time import monotonic

from vfioctl import __version__
from vfioctl.plugin.standing import standing
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from vfioctl.plugin.protocol import Result
    from vfioctl.plugin.standing import Served
    from vfioctl.plugin.supervisor import Supervisor
    from vfioctl.plugin.values import Item

Part: TypeAlias = "Callable[[Item], Mapping[str, object]]"
"""What else is known of an item: ``state`` and ``owner`` have columns of their own where they are told."""


def status(plugin: Supervisor, parts: Sequence[Part] = ()) -> Result:
    """Return how a plugin stands; each part adds keys to every item."""
    stood, rules = standing(plugin), plugin.rules
    return {
        "version": __version__,
        "pid": os.getpid(),
        "seconds_running": int(monotonic() - plugin.began),
        "ready": stood.unready is None,
        "summary": stood.summary(),
        "config": {"file": rules.file, "error": stood.reload_error},
        "kubelet": {
            "folder": rules.kubelet_dir,
            "registration": "watcher" if rules.watcher else "kubelet",
            "present": stood.kubelet,
        },
        "listen": rules.listen or None,
        "host": {
            "looks": plugin.looks,
            "seconds_since_look": int(stood.since_look) if stood.looked else None,
            "error": stood.look_error,
        },
        "cordoned": sorted(rules.cordoned),
        "resources": [_resource(plugin, one, parts) for one in stood.served],
    }


def _resource(plugin: Supervisor, one: Served, parts: Sequence[Part]) -> Result:
    name = one.offer.resource
    return {
        "name": name,
        "registration": one.state.phase,
        "registered": one.listening and one.state.phase == "up",
        "streams": one.state.streams,
        "error": one.state.error,
        "allocations": {
            result: count
            for (resource, result), count in sorted(plugin.counts.allocations.items())
            if resource == name
        },
        "items": [_item(item, parts) for item in one.offer.items],
    }


def _item(item: Item, parts: Sequence[Part]) -> Result:
    told: Result = {
        "id": item.id,
        "members": [str(address) for address in item.members],
        "iommu_group": item.group,
        "numa_nodes": list(item.numa_nodes),
        "healthy": item.reason is None,
        "reason": item.reason,
    }
    for part in parts:
        told.update(part(item))
    return told
