"""What the kubelet asks of one resource, answered."""

from __future__ import annotations

import logging
from time import monotonic

import grpc
import grpc.aio

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.api import deviceplugin_pb2 as pb
from vfioctl.plugin.api import deviceplugin_pb2_grpc as pb_grpc
from vfioctl.plugin.bell import Bell
from vfioctl.plugin.counts import DENIED, FAILED, GRANTED, Counts
from vfioctl.plugin.event import denied, granted
from vfioctl.plugin.values import Denied, Grant, Offer
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

    from vfioctl.plugin.event import Event
    from vfioctl.plugin.values import Item

    Answer = TypeVar("Answer")
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

    class Desk(Protocol):
        """Who decides for one resource: pure answers, in a few milliseconds."""

        def allocate(self, offer: Offer, ids: tuple[str, ...]) -> Grant | Denied:
            """Return what a container gets for these ids, sorted; unknown ones are denied."""

        def prefer(
            self, offer: Offer, available: tuple[str, ...], must_include: tuple[str, ...], size: int
        ) -> tuple[str, ...] | Denied:
            """Return the ids to take, best first."""

        def starts(self, resource: str) -> bool:
            """Tell whether something is to be done before each start of a container."""

        async def prepare(self, offer: Offer, ids: tuple[str, ...]) -> Denied | None:
            """Do it, in less than 30 seconds."""


log = logging.getLogger("vfioctl.plugin")

HEALTHY = "Healthy"
UNHEALTHY = "Unhealthy"

_INTERNAL = "INTERNAL"
"""The code of what is denied because we stumbled."""
_MOST_WRITTEN = 1024
"""Answers that one resource keeps."""


class Written(NamedTuple):
    """A grant as the kubelet and the log are told of it: written once, as long as it is the same."""

    grant: Grant
    response: pb.AllocateResponse
    event: Event


class Service(pb_grpc.DevicePluginServicer):
    """The servicer of one resource. It outlives servers and kubelets: each new one is told the list anew."""

    def __init__(self, offer: Offer, desk: Desk, counts: Counts | None = None) -> None:
        """Offer this from the start, and count what is asked for."""
        self.resource = offer.resource
        self.offer = offer
        self.desk = desk
        self.granted: set[str] = set()
        """Ids that were granted since the start; nobody says when they are released."""
        self._counts = counts or Counts()
        self._written: dict[tuple[str, ...], Written] = {}
        self._bell = Bell()
        self._sent: Offer | None = None
        self._streams = 0
        self._streams_changed = Bell()

    def publish(self, offer: Offer) -> bool:
        """Offer something else from now on, and tell so to whoever listens; False where it is the same."""
        if offer == self.offer:
            return False
        self.offer = offer
        self._written.clear()
        self._bell.ring()
        return True

    @property
    def listening(self) -> bool:
        """Whether a kubelet has the list open."""
        return self._streams > 0

    async def until_listening(self) -> None:
        """Wait until a kubelet has the list open."""
        await self._streams_changed.until(lambda: self._streams > 0)

    async def until_silent(self) -> None:
        """Wait until no kubelet has the list open."""
        await self._streams_changed.until(lambda: self._streams == 0)

    async def until_told(self) -> None:
        """Wait until whoever listens has been sent what is offered now."""
        await self._streams_changed.until(lambda: self._sent is self.offer or self._streams == 0)

    def options(self) -> pb.DevicePluginOptions:
        """Return what the kubelet may ask besides Allocate."""
        return pb.DevicePluginOptions(
            get_preferred_allocation_available=True, pre_start_required=self.desk.starts(self.resource)
        )

    async def GetDevicePluginOptions(  # noqa: N802 - the protocol's name
        self, request: pb.Empty, context: Context
    ) -> pb.DevicePluginOptions:
        """Answer; asked while Register is still running."""
        del request, context
        return self.options()

    async def ListAndWatch(  # type: ignore[override] # noqa: N802 - the protocol's name
        self, request: pb.Empty, context: Context
    ) -> None:
        """Send the list, and the whole of it again after every change.

        What changes while a message is under way is sent as one. Written by hand rather than yielded: a
        generator would learn only from the collector that its reader is gone.
        """
        del request
        self._streams += 1
        self._streams_changed.ring()
        try:
            sent: Offer | None = None
            while True:
                # Awaited before "sent" changes.
                await self._bell.until(lambda: self.offer is not sent)  # noqa: B023
                sent = self.offer
                await context.write(to_list(sent))
                self._sent = sent
                self._streams_changed.ring()
        except grpc.aio.InternalError:
            # Whoever did not read what was under way is gone; gRPC would make a fault of that.
            return
        finally:
            self._streams -= 1
            self._streams_changed.ring()

    async def GetPreferredAllocation(  # noqa: N802 - the protocol's name
        self, request: pb.PreferredAllocationRequest, context: Context
    ) -> pb.PreferredAllocationResponse:
        """Say which of the free items go well together."""
        response = pb.PreferredAllocationResponse()
        for one in request.container_requests:
            available, must = _sorted(one.available_deviceIDs), _sorted(one.must_include_deviceIDs)
            answer = self._ask(
                lambda: self.desk.prefer(self.offer, available, must, one.allocation_size)  # noqa: B023
            )
            chosen = await _given(context, answer)
            response.container_responses.add(deviceIDs=chosen)
        return response

    async def Allocate(  # noqa: N802 - the protocol's name
        self, request: pb.AllocateRequest, context: Context
    ) -> pb.AllocateResponse:
        """Hand out what was asked for, or say why not: never an empty answer, which would leak the device."""
        responses = []
        for one in request.container_requests:
            # They come in no order; the guest's must not change from start to start.
            ids, began = _sorted(one.devices_ids), monotonic()
            answer = self._ask(lambda: self.desk.allocate(self.offer, ids))  # noqa: B023
            self._counts.allocated(self.resource, _result(answer), monotonic() - began)
            if isinstance(answer, Denied):
                log.warning(denied(self.offer, ids, answer))
            grant = await _given(context, answer)
            self.granted.update(ids)
            written = self._write(ids, grant)
            log.info(written.event)
            responses.append(written.response)
        if not responses:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, f"no container asks for {self.resource}")
        return responses[0] if len(responses) == 1 else _joined(responses)

    def _write(self, ids: tuple[str, ...], grant: Grant) -> Written:
        """Write a grant down, unless it is the one that was written last for these ids."""
        written = self._written.get(ids)
        if written is None or written.grant is not grant:
            response = pb.AllocateResponse(container_responses=[to_response(grant)])
            if len(self._written) >= _MOST_WRITTEN:
                self._written.clear()
            written = self._written[ids] = Written(grant, response, granted(self.offer, ids, grant))
        return written

    async def PreStartContainer(  # noqa: N802 - the protocol's name
        self, request: pb.PreStartContainerRequest, context: Context
    ) -> pb.PreStartContainerResponse:
        """Prepare the devices of a container that is about to start, for the first time or again."""
        ids = _sorted(request.devices_ids)
        try:
            denied = await self.desk.prepare(self.offer, ids)
        except Exception:
            log.exception("%s: %s could not be prepared", self.resource, " ".join(ids))
            await _abort(context, grpc.StatusCode.INTERNAL, f"vfioctl could not prepare {' '.join(ids)}")
        if denied is not None:
            log.warning("%s: not prepared: %s", self.resource, denied.message)
            await _abort(context, grpc.StatusCode[denied.code], denied.message)
        return pb.PreStartContainerResponse()

    def _ask(self, ask: Callable[[], Answer | Denied]) -> Answer | Denied:
        """Return the desk's answer; one that it stumbles over is denied as our own fault."""
        try:
            return ask()
        except Exception:
            log.exception("%s: a request could not be answered", self.resource)
            return Denied(_INTERNAL, f"vfioctl could not answer for {self.resource}: see its log")


async def _given(context: Context, answer: Answer | Denied) -> Answer:
    """Return what was granted; what was denied reaches the pod's status in words."""
    if isinstance(answer, Denied):
        await _abort(context, grpc.StatusCode[answer.code], answer.message)
    return answer


def _result(answer: Grant | Denied) -> str:
    if isinstance(answer, Denied):
        return FAILED if answer.code == _INTERNAL else DENIED
    return GRANTED


def _joined(responses: Iterable[pb.AllocateResponse]) -> pb.AllocateResponse:
    joined = pb.AllocateResponse()
    for one in responses:
        joined.MergeFrom(one)
    return joined


async def _abort(context: Context, code: grpc.StatusCode, text: str) -> NoReturn:
    await context.abort(code, text)


def _sorted(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(ids)))


def to_list(offer: Offer) -> pb.ListAndWatchResponse:
    """Return an offer as the kubelet's list: it replaces the one before."""
    return pb.ListAndWatchResponse(devices=[_to_device(item) for item in offer.items])


def _to_device(item: Item) -> pb.Device:
    device = pb.Device(ID=item.id, health=HEALTHY if item.reason is None else UNHEALTHY)
    # Left out where no node is known: -1 would be taken for a node that the kubelet does not know.
    for node in item.numa_nodes:
        if node >= 0:
            device.topology.nodes.add(ID=node)
    return device


def to_response(grant: Grant) -> pb.ContainerAllocateResponse:
    """Return a grant as the kubelet's answer."""
    return pb.ContainerAllocateResponse(
        envs=dict(grant.envs),
        mounts=[
            pb.Mount(host_path=one.host_path, container_path=one.container_path, read_only=one.read_only)
            for one in grant.mounts
        ],
        devices=[
            pb.DeviceSpec(
                host_path=one.host_path, container_path=one.container_path, permissions=one.permissions
            )
            for one in grant.nodes
        ],
        annotations=dict(grant.annotations),
        cdi_devices=[pb.CDIDevice(name=name) for name in grant.cdi],
    )
