"""What the kubelet says of its pods: who has which devices, and that something changed."""

from __future__ import annotations

import os
from collections import Counter

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from vfioctl.plugin.api import core_pb2, podresources_pb2, podresources_pb2_grpc, pods_pb2, pods_pb2_grpc
from vfioctl.plugin.claims import Owner
from vfioctl.plugin.sockets import is_socket
from vfioctl.plugin.specs import PodSpec, wanted
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from vfioctl.plugin.claims import Key

RESOURCES = "pod-resources/kubelet.sock"
"""Below the kubelet's root directory: which containers have what."""
PODS = "pods/kubelet.sock"
"""Below it too, from 1.36 on where it is switched on: every change of a pod, as it happens."""

DEADLINE = 5.0
"""Seconds for an answer; the kubelet's own work on it is a walk through a map."""
MOST_BYTES = 16 << 20
"""The kubelet's own limit for this answer."""

_ENDED = frozenset({"Succeeded", "Failed"})

Identity = tuple[int, int, int]


class KubeletError(Exception):
    """The kubelet did not answer; the text says why."""


def identity(kubelet_dir: str) -> Identity | None:
    """Tell one kubelet from the next by its socket; None where there is none."""
    try:
        status = os.stat(f"{kubelet_dir}/{RESOURCES}")  # noqa: PTH116 - before every question
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


async def list_pods(kubelet_dir: str) -> dict[Key, Owner]:
    """Ask which containers have which devices; to be asked makes the kubelet free what ended pods had.

    Raises:
        KubeletError: it does not answer, or refuses.

    """
    async with _channel(f"{kubelet_dir}/{RESOURCES}") as channel:
        # The same class serves both kinds of channels; its types say only one.
        ask: Any = podresources_pb2_grpc.PodResourcesListerStub(channel).List
        try:
            answer = await ask(podresources_pb2.ListPodResourcesRequest(), timeout=DEADLINE)
        except grpc.aio.AioRpcError as error:
            raise KubeletError(f"{error.details() or 'no reason given'} ({error.code().name})") from error
    found: dict[Key, Owner] = {}
    for pod in answer.pod_resources:
        for container in pod.containers:
            owner = Owner(pod.namespace, pod.name, container.name)
            for devices in container.devices:
                for one in devices.device_ids:
                    found.setdefault((devices.resource_name, one), owner)
    return found


async def pod_changes(kubelet_dir: str) -> AsyncIterator[tuple[PodSpec, ...]]:
    """Yield the pods that live whenever one changed; ends when the kubelet does, or has no such service."""
    path = f"{kubelet_dir}/{PODS}"
    if not is_socket(path):  # Most kubelets have none.
        return
    living: dict[str, PodSpec] = {}
    async with _channel(path) as channel:
        watch: Any = pods_pb2_grpc.PodsStub(channel).WatchPods
        try:
            async for event in watch(pods_pb2.WatchPodsRequest()):
                _note(living, event)
                yield tuple(living.values())
        except grpc.aio.AioRpcError:
            return


def _note(living: dict[str, PodSpec], event: pods_pb2.WatchPodsEvent) -> None:
    try:
        pod = core_pb2.Pod.FromString(event.pod)
    except DecodeError:
        return  # That something changed is known all the same.
    uid = pod.metadata.uid
    if event.type == pods_pb2.DELETED or pod.status.phase in _ENDED:
        living.pop(uid, None)
    elif uid and (wants := _wants(pod.spec)):
        living[uid] = PodSpec(uid, (pod.metadata.namespace, pod.metadata.name), wants)


def _wants(spec: core_pb2.PodSpec) -> tuple[tuple[str, int], ...]:
    """Return what a pod wants of extended resources, which are whole numbers."""
    inits = ((_limits(one), one.restartPolicy == "Always") for one in spec.initContainers)
    return wanted(map(_limits, spec.containers), inits)


def _limits(container: core_pb2.Container) -> Counter[str]:
    limits = container.resources.limits.items()
    return Counter(
        {name: int(amount.string) for name, amount in limits if "/" in name and amount.string.isdecimal()}
    )


def _channel(path: str) -> grpc.aio.Channel:
    # One for each question: the next kubelet has another socket of the same name.
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.max_receive_message_length", MOST_BYTES),
    ]
    return grpc.aio.insecure_channel(f"unix:{path}", options=options)
