"""The kubelet's bookkeeping of devices: what is listed, what counts, who has what."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vfioctl.plugin.api.deviceplugin_pb2 import Device

GRACE = 300.0
"""Seconds after which a resource without a plugin is dropped (endpointStopGracePeriod)."""


class Booking(NamedTuple):
    """What one container has of one resource, and the plugin's answer, which every restart gets again."""

    ids: frozenset[str]
    answer: bytes


@dataclass
class Listed:
    """One resource: its last list, and since when its plugin is gone."""

    healthy: set[str] = field(default_factory=set)
    unhealthy: set[str] = field(default_factory=set)
    nodes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    stopped: float | None = None


class Books:
    """What the kubelet keeps of devices, in memory and in its checkpoint."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start with nothing."""
        self._clock = clock
        self.resources: dict[str, Listed] = {}
        self.in_use: dict[str, set[str]] = {}
        self.bookings: dict[tuple[str, str], dict[str, Booking]] = {}
        """By pod's uid and container's name; then by resource."""

    def connect(self, resource: str) -> None:
        """Note that a resource has a plugin; its old list stands until the plugin sends one."""
        self.resources.setdefault(resource, Listed()).stopped = None

    def list_devices(self, resource: str, devices: Iterable[Device]) -> None:
        """Replace the whole list: a message never adds to the one before.

        Only the exact word Healthy is healthy; duplicates collapse; an empty ID counts.
        """
        listed = Listed()
        for device in devices:
            known = listed.healthy if device.health == "Healthy" else listed.unhealthy
            known.add(device.ID)
            if device.HasField("topology"):
                listed.nodes[device.ID] = tuple(node.ID for node in device.topology.nodes)
        self.resources[resource] = listed

    def disconnect(self, resource: str) -> None:
        """Take every device for unhealthy: capacity stays, allocatable is 0 at once."""
        listed = self.resources.get(resource)
        if listed is not None:
            listed.unhealthy |= listed.healthy
            listed.healthy = set()
            listed.stopped = self._clock()

    def counts(self, resource: str) -> tuple[int, int]:
        """Return capacity and allocatable; a resource whose plugin is gone for 5 minutes is dropped."""
        listed = self.resources.get(resource)
        if listed is None:
            return 0, 0
        if listed.stopped is not None and self._clock() - listed.stopped > GRACE:
            del self.resources[resource]
            return 0, 0
        return len(listed.healthy) + len(listed.unhealthy), len(listed.healthy)

    def free(self, resource: str) -> set[str]:
        """Return what is healthy and not in use."""
        return self.resources[resource].healthy - self.in_use.get(resource, set())

    def release_all_but(self, active: Iterable[str]) -> None:
        """Free what pods had that are no more; a device leaked by an empty answer comes back only then."""
        gone = {uid for uid, _ in self.bookings} - set(active)
        if gone:
            self.bookings = {key: kept for key, kept in self.bookings.items() if key[0] not in gone}
            self.count_in_use()

    def count_in_use(self) -> None:
        """Take for used exactly what is booked."""
        self.in_use = {}
        for held in self.bookings.values():
            for resource, booking in held.items():
                self.in_use.setdefault(resource, set()).update(booking.ids)

    def to_checkpoint(self) -> str:
        """Return the checkpoint's text: bookings with their answers, and what is healthy."""
        entries = [
            {
                "PodUID": uid,
                "ContainerName": container,
                "ResourceName": resource,
                "DeviceIDs": {"-1": sorted(booking.ids)},
                "AllocResp": b64encode(booking.answer).decode(),
            }
            for (uid, container), held in self.bookings.items()
            for resource, booking in held.items()
        ]
        registered = {name: sorted(listed.healthy) for name, listed in self.resources.items()}
        return json.dumps({"Data": {"PodDeviceEntries": entries or None, "RegisteredDevices": registered}})

    def load_checkpoint(self, text: str) -> None:
        """Begin anew from a checkpoint: resources count 0 until their plugins register again."""
        data = json.loads(text)["Data"]
        self.resources = {name: Listed(stopped=self._clock()) for name in data["RegisteredDevices"]}
        self.bookings = {}
        for entry in data["PodDeviceEntries"] or ():
            ids = frozenset(one for node in entry["DeviceIDs"].values() for one in node)
            held = self.bookings.setdefault((entry["PodUID"], entry["ContainerName"]), {})
            held[entry["ResourceName"]] = Booking(ids, b64decode(entry["AllocResp"]))
        self.count_in_use()
