"""The stream of pods, as kubelets have it from 1.36 on where it is switched on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from vfioctl.plugin.api import core_pb2, pods_pb2, pods_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugin.kubelet.pods import Container, Pod

PERIOD = 0.002


def marshalled(pod: Pod) -> bytes:
    """Write a pod as core/v1 does, as far as anybody here asks."""
    return core_pb2.Pod(
        metadata=core_pb2.ObjectMeta(name=pod.name, namespace=pod.namespace, uid=pod.uid),
        spec=core_pb2.PodSpec(
            containers=[_container(one) for one in pod.containers if not one.init],
            initContainers=[_container(one) for one in pod.containers if one.init],
        ),
        status=core_pb2.PodStatus(phase=pod.phase),
    ).SerializeToString()


def _container(one: Container) -> core_pb2.Container:
    limits = {name: core_pb2.Quantity(string=str(count)) for name, count in one.limits.items()}
    limits["memory"] = core_pb2.Quantity(string="1Gi")
    return core_pb2.Container(name=one.name, resources=core_pb2.ResourceRequirements(limits=limits))


class PodStream(pods_pb2_grpc.PodsServicer):
    """Tells of every pod that there is, and of every change of one."""

    def __init__(self, pods: dict[str, Pod]) -> None:
        """Tell of these."""
        self._pods = pods
        self.watched = asyncio.Event()

    async def WatchPods(  # noqa: N802 - the protocol's name
        self,
        request: pods_pb2.WatchPodsRequest,
        context: Any,  # noqa: ANN401 - gRPC's
    ) -> AsyncIterator[pods_pb2.WatchPodsEvent]:
        """Stream them, for ever."""
        del request, context
        self.watched.set()
        known: dict[str, bytes] = {}
        while True:
            for uid, pod in list(self._pods.items()):
                text = marshalled(pod)
                if known.get(uid) != text:
                    kind = pods_pb2.MODIFIED if uid in known else pods_pb2.ADDED
                    known[uid] = text
                    yield pods_pb2.WatchPodsEvent(type=kind, pod=text)
            for uid in known.keys() - self._pods.keys():
                yield pods_pb2.WatchPodsEvent(type=pods_pb2.DELETED, pod=known.pop(uid))
            await asyncio.sleep(PERIOD)
