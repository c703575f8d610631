"""Messages of the kubelet: bytes to the deserialisers, and what they give to the plugin's answers.

The first byte says which message. What is no message is refused by protobuf before the plugin sees it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from tests.fuzz.stage import quiet, sample
from vfioctl.plugin.api import deviceplugin_pb2 as pb
from vfioctl.plugin.api import podresources_pb2, pods_pb2
from vfioctl.plugin.claims import Ledger, Owner, observe
from vfioctl.plugin.config import parse
from vfioctl.plugin.decisions import Decisions, View
from vfioctl.plugin.service import Service
from vfioctl.plugin.sight import Sight

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.target import Run

ALLOWED = (DecodeError,)
CONFIG = """
[[resource]]
name = "a.io/pci"
kind = "pci"
select = ["0000:*:*"]
unit = "group"
env = ["kubevirt", "pcidevice", "json"]
[[resource]]
name = "a.io/null"
kind = "node"
paths = ["/dev/null"]
count = 3
"""
_IDS = ["null#0", "null#1", "null#2", "0", "\ud7ff", ""]
_CONTAINER = podresources_pb2.ContainerResources(
    name="c",
    devices=[podresources_pb2.ContainerDevices(resource_name="a.io/null", device_ids=["null#0", "x"])],
)
_POD = podresources_pb2.PodResources(name="p", namespace="n", containers=[_CONTAINER])
SEEDS = (
    b"a"
    + pb.AllocateRequest(
        container_requests=[pb.ContainerAllocateRequest(devices_ids=_IDS)]
    ).SerializeToString(),
    b"a" + pb.AllocateRequest().SerializeToString(),
    b"p"
    + pb.PreferredAllocationRequest(
        container_requests=[
            pb.ContainerPreferredAllocationRequest(
                available_deviceIDs=_IDS, must_include_deviceIDs=["null#1"], allocation_size=2
            )
        ]
    ).SerializeToString(),
    b"s" + pb.PreStartContainerRequest(devices_ids=_IDS).SerializeToString(),
    b"l" + podresources_pb2.ListPodResourcesResponse(pod_resources=[_POD]).SerializeToString(),
    b"w" + pods_pb2.WatchPodsRequest().SerializeToString(),
)
WORDS = (
    *_IDS,
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x10\x80\x80\x80\x80\x08",
    b"\x0a\x02",
    b"\xff",
    b"\x08\x01",
    b"\x12",
)


class _RefusedError(Exception):
    """The call was answered with an error, which is an answer."""


class _Call:
    """A call that nobody listens to."""

    async def abort(self, code: object, text: str) -> None:
        """End the call as gRPC does."""
        assert text, code
        raise _RefusedError(text)


def prepare(place: Path) -> Run:
    """Ask both kinds of resources."""
    del place
    quiet()
    decisions = Decisions(parse(CONFIG))
    view = View(sample("workstation"), Sight(usb=(), has_node=lambda _path: True))
    offers, _ = decisions.judge(view)
    services = [Service(offer, decisions) for offer in decisions.arbitrate(offers)]
    loop, call = asyncio.new_event_loop(), _Call()

    def ask(method: str, request: Any) -> None:  # noqa: ANN401 - any message
        for service in services:
            try:
                answer = loop.run_until_complete(getattr(service, method)(request, call))
            except _RefusedError:
                continue
            answer.SerializeToString()

    def run(data: bytes) -> None:
        kind, content = data[:1], data[1:]
        match kind:
            case b"p":
                ask("GetPreferredAllocation", pb.PreferredAllocationRequest.FromString(content))
            case b"s":
                ask("PreStartContainer", pb.PreStartContainerRequest.FromString(content))
            case b"l":
                answer = podresources_pb2.ListPodResourcesResponse.FromString(content)
                observe(Ledger(1.0), _owners(answer), {}, 2.0, 3.0)
            case b"w":
                pods_pb2.WatchPodsRequest.FromString(content)
            case _:
                ask("Allocate", pb.AllocateRequest.FromString(content))

    return run


def _owners(answer: Any) -> dict[tuple[str, str], Owner]:  # noqa: ANN401 - as above
    return {
        (devices.resource_name, one): Owner(pod.namespace, pod.name, container.name)
        for pod in answer.pod_resources
        for container in pod.containers
        for devices in container.devices
        for one in devices.device_ids
    }
