"""Admission: which devices a container gets, and what is asked of the plugin for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc.aio

from tests.plugin.kubelet.books import Booking
from vfioctl.plugin.api import deviceplugin_pb2 as pb

if TYPE_CHECKING:
    from random import Random

    from tests.plugin.kubelet.books import Books
    from tests.plugin.kubelet.client import Client
    from tests.plugin.kubelet.pods import Container, Pod


class AdmissionError(Exception):
    """A pod is rejected for good; the text is what its status says."""


def go_text(error: grpc.aio.AioRpcError) -> str:
    """Say an error as grpc-go does, in the words that reach ``kubectl describe``."""
    name = "".join(word.capitalize() for word in error.code().name.split("_"))
    return f"rpc error: code = {name} desc = {error.details()}"


class Admission:
    """Allocates for one container after the other, as the device manager does."""

    def __init__(self, books: Books, clients: dict[str, Client], random: Random) -> None:
        """Work on these books; ``clients`` are the live registrations by resource."""
        self._books = books
        self._clients = clients
        self._random = random

    async def admit(self, pod: Pod) -> None:
        """Allocate for every container, init containers first, whose devices are then used again.

        Raises:
            AdmissionError: the pod is rejected.

        """
        reusable: dict[str, set[str]] = {}
        for container in pod.in_order:
            # A Go map: no order.
            names = list(container.limits)
            self._random.shuffle(names)
            for resource in names:
                ids = await self._allocate(pod, container, resource, reusable.setdefault(resource, set()))
                if container.init:
                    reusable[resource] |= ids
                else:
                    reusable[resource] -= ids

    async def _allocate(self, pod: Pod, container: Container, resource: str, reusable: set[str]) -> set[str]:
        booked = self._books.bookings.get((pod.uid, container.name), {}).get(resource)
        if booked is not None:
            # Admitted before: nothing is asked again, but the devices must be healthy (kubelet.md 3.5).
            if not booked.ids <= self._listed(resource):
                raise AdmissionError(
                    "previously allocated devices are no longer healthy;"
                    f" cannot allocate unhealthy devices {resource}"
                )
            return set(booked.ids)
        ids = await self._choose(container.limits[resource], resource, reusable)
        self._books.in_use.setdefault(resource, set()).update(ids)
        answer = await self._ask(resource, ids)
        self._books.bookings.setdefault((pod.uid, container.name), {})[resource] = Booking(
            frozenset(ids), answer.SerializeToString()
        )
        return ids

    def _listed(self, resource: str) -> set[str]:
        listed = self._books.resources.get(resource)
        return listed.healthy if listed else set()

    def _client(self, resource: str) -> Client:
        client = self._clients.get(resource)
        if client is None:
            raise AdmissionError(f"endpoint {resource} has been stopped")
        return client

    async def _choose(self, need: int, resource: str, reusable: set[str]) -> set[str]:
        if not self._listed(resource):
            raise AdmissionError(f"no healthy devices present; cannot allocate unhealthy devices {resource}")
        ids = set(self._shuffled(reusable)[:need])
        free = self._books.free(resource) - ids
        missing = need - len(ids)
        if missing > len(free):
            raise AdmissionError(
                f"requested number of devices unavailable for {resource}."
                f" Requested: {missing}, Available: {len(free)}"
            )
        # Asked only where there is a choice.
        asks = self._client(resource).options.get_preferred_allocation_available
        if asks and missing and missing != len(free):
            ids |= set((await self._prefer(resource, free | ids, ids, need))[:need]) & free
        return ids | set(self._shuffled(free - ids)[: need - len(ids)])

    async def _prefer(self, resource: str, available: set[str], must: set[str], need: int) -> list[str]:
        request = pb.ContainerPreferredAllocationRequest(
            available_deviceIDs=self._shuffled(available),
            must_include_deviceIDs=self._shuffled(must),
            allocation_size=need,
        )
        try:
            answer = await self._client(resource).stub.GetPreferredAllocation(
                pb.PreferredAllocationRequest(container_requests=[request])
            )
        except grpc.aio.AioRpcError as error:
            raise AdmissionError(go_text(error)) from None
        return list(answer.container_responses[0].deviceIDs) if answer.container_responses else []

    async def _ask(self, resource: str, ids: set[str]) -> pb.ContainerAllocateResponse:
        request = pb.ContainerAllocateRequest(devices_ids=self._shuffled(ids))
        try:
            # No deadline: a slow answer stalls every pod of the node.
            answer = await self._client(resource).stub.Allocate(
                pb.AllocateRequest(container_requests=[request])
            )
        except grpc.aio.AioRpcError as error:
            # What was taken for this call is given back; only a missing answer leaks (s).
            self._books.count_in_use()
            raise AdmissionError(go_text(error)) from None
        if not answer.container_responses:
            raise AdmissionError("no containers return in allocation response")
        # Only the first counts.
        return answer.container_responses[0]

    def _shuffled(self, ids: set[str]) -> list[str]:
        # Device ids arrive in no order.
        order = sorted(ids)
        self._random.shuffle(order)
        return order
