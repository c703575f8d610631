"""PodResources v1, as the kubelet serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from vfioctl.plugin.api import podresources_pb2 as pb
from vfioctl.plugin.api import podresources_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugin.kubelet.books import Books
    from tests.plugin.kubelet.pods import Pod


class PodResources(pb_grpc.PodResourcesListerServicer):
    """What pods have: asking for it also makes the kubelet free what ended pods had."""

    def __init__(self, books: Callable[[], Books], pods: dict[str, Pod]) -> None:
        """Answer from the books of the moment, and from the pods by uid."""
        self._books = books
        self._pods = pods

    def _active(self) -> list[Pod]:
        active = [pod for pod in self._pods.values() if pod.active]
        self._books().release_all_but(pod.uid for pod in active)
        return active

    async def List(  # noqa: N802 - the protocol's name
        self, request: pb.ListPodResourcesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListPodResourcesResponse:
        """Return active pods only (ended ones were listed before 1.34)."""
        del request, context
        return pb.ListPodResourcesResponse(pod_resources=[self._of(pod) for pod in self._active()])

    async def Get(  # noqa: N802 - the protocol's name
        self, request: pb.GetPodResourcesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetPodResourcesResponse:
        """Return one pod; an unknown one is an error UNKNOWN."""
        for pod in self._active():
            if (pod.name, pod.namespace) == (request.pod_name, request.pod_namespace):
                return pb.GetPodResourcesResponse(pod_resources=self._of(pod))
        text = f"pod {request.pod_name} in namespace {request.pod_namespace} not found"
        return await context.abort(grpc.StatusCode.UNKNOWN, text)

    async def GetAllocatableResources(  # noqa: N802 - the protocol's name
        self, request: pb.AllocatableResourcesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.AllocatableResourcesResponse:
        """Return healthy devices, in use or not, one entry for each."""
        del request, context
        books = self._books()
        return pb.AllocatableResourcesResponse(
            devices=[
                _entry(books, resource, device)
                for resource, listed in books.resources.items()
                for device in sorted(listed.healthy)
            ]
        )

    def _of(self, pod: Pod) -> pb.PodResources:
        books = self._books()
        containers = []
        for container in pod.containers:
            if container.init:
                continue
            held = books.bookings.get((pod.uid, container.name), {})
            entries = [
                _entry(books, resource, device)
                for resource, booking in held.items()
                for device in sorted(booking.ids)
            ]
            containers.append(pb.ContainerResources(name=container.name, devices=entries))
        return pb.PodResources(name=pod.name, namespace=pod.namespace, containers=containers)


def _entry(books: Books, resource: str, device: str) -> pb.ContainerDevices:
    """Make the entry of one device: the kubelet never puts two into one."""
    listed = books.resources.get(resource)
    nodes = listed.nodes.get(device, ()) if listed else ()
    topology = pb.TopologyInfo(nodes=[pb.NUMANode(ID=node) for node in nodes]) if nodes else None
    return pb.ContainerDevices(resource_name=resource, device_ids=[device], topology=topology)
