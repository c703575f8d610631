"""A device plugin that does as it is told: what the kubelet for tests is tested with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio

from vfioctl.plugin.api import deviceplugin_pb2 as pb
from vfioctl.plugin.api import deviceplugin_pb2_grpc as pb_grpc
from vfioctl.plugin.api import registration_pb2 as watcher_pb
from vfioctl.plugin.api import registration_pb2_grpc as watcher_pb_grpc

if TYPE_CHECKING:
    from typing import TypeAlias

    from vfioctl.plugin.api.deviceplugin_pb2_grpc import RegistrationAsyncStub

    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class Scripted(pb_grpc.DevicePluginServicer):
    """One resource's plugin; its fields say what it answers, and keep what it was asked."""

    def __init__(
        self, resource: str, devices: dict[str, str], *, options: pb.DevicePluginOptions | None = None
    ) -> None:
        """List these devices, with this health."""
        self.resource = resource
        self.devices = devices
        self.options = options or pb.DevicePluginOptions()
        self.answer: pb.AllocateResponse | None = None
        self.preferred: list[str] = []
        self.error: tuple[grpc.StatusCode, str] | None = None
        self.calls: list[tuple[str, list[str]]] = []
        self._server = grpc.aio.server()
        self._wake: set[asyncio.Event] = set()

    async def serve(self, path: str, *, endpoint: str | None = None, type_name: str = "DevicePlugin") -> None:
        """Serve on a socket; with an endpoint, for the plugin watcher too."""
        pb_grpc.add_DevicePluginServicer_to_server(self, self._server)
        if endpoint is not None:
            info = watcher_pb.PluginInfo(
                type=type_name, name=self.resource, endpoint=endpoint, supported_versions=["v1beta1"]
            )
            watcher_pb_grpc.add_RegistrationServicer_to_server(_Info(self, info), self._server)
        self._server.add_insecure_port(f"unix:{path}")
        await self._server.start()

    async def stop(self) -> None:
        """Stop; grpc removes the socket."""
        await self._server.stop(None)

    def publish(self, devices: dict[str, str]) -> None:
        """List other devices from now on."""
        self.devices = devices
        for event in self._wake:
            event.set()

    async def GetDevicePluginOptions(self, request: pb.Empty, context: Context) -> pb.DevicePluginOptions:  # noqa: N802
        """Answer as told."""
        del request, context
        self.calls.append(("options", []))
        return self.options

    async def ListAndWatch(self, request: pb.Empty, context: Context) -> None:  # type: ignore[override] # noqa: N802
        """List, and list again when told."""
        del request
        wake = asyncio.Event()
        self._wake.add(wake)
        try:
            while True:
                wake.clear()
                devices = [pb.Device(ID=one, health=health) for one, health in self.devices.items()]
                await context.write(pb.ListAndWatchResponse(devices=devices))
                await wake.wait()
        finally:
            self._wake.discard(wake)

    async def GetPreferredAllocation(  # noqa: N802
        self, request: pb.PreferredAllocationRequest, context: Context
    ) -> pb.PreferredAllocationResponse:
        """Prefer as told."""
        del context
        self.calls.append(("prefer", list(request.container_requests[0].available_deviceIDs)))
        one = pb.ContainerPreferredAllocationResponse(deviceIDs=self.preferred)
        return pb.PreferredAllocationResponse(container_responses=[one])

    async def Allocate(self, request: pb.AllocateRequest, context: Context) -> pb.AllocateResponse:  # noqa: N802
        """Answer as told, else with the ids in the environment."""
        ids = list(request.container_requests[0].devices_ids)
        self.calls.append(("allocate", ids))
        if self.error:
            await context.abort(*self.error)
        one = pb.ContainerAllocateResponse(envs={"IDS": ",".join(sorted(ids))})
        return self.answer or pb.AllocateResponse(container_responses=[one])

    async def PreStartContainer(  # noqa: N802
        self, request: pb.PreStartContainerRequest, context: Context
    ) -> pb.PreStartContainerResponse:
        """Agree, unless told otherwise."""
        self.calls.append(("start", list(request.devices_ids)))
        if self.error:
            await context.abort(*self.error)
        return pb.PreStartContainerResponse()


class _Info(watcher_pb_grpc.RegistrationServicer):
    def __init__(self, plugin: Scripted, info: watcher_pb.PluginInfo) -> None:
        self._plugin = plugin
        self._info = info

    async def GetInfo(self, request: watcher_pb.InfoRequest, context: Context) -> watcher_pb.PluginInfo:  # noqa: N802
        del request, context
        self._plugin.calls.append(("info", []))
        return self._info

    async def NotifyRegistrationStatus(  # noqa: N802
        self, request: watcher_pb.RegistrationStatus, context: Context
    ) -> watcher_pb.RegistrationStatusResponse:
        del context
        self._plugin.calls.append(("status", [str(request.plugin_registered), request.error]))
        return watcher_pb.RegistrationStatusResponse()


async def register(kubelet_socket: str, resource: str, endpoint: str, *, version: str = "v1beta1") -> str:
    """Register, and return the refusal's text, or nothing where it was taken."""
    async with grpc.aio.insecure_channel(f"unix:{kubelet_socket}") as channel:
        stub = cast("RegistrationAsyncStub", pb_grpc.RegistrationStub(channel))
        request = pb.RegisterRequest(version=version, endpoint=endpoint, resource_name=resource)
        try:
            await stub.Register(request, timeout=15)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name} {error.details()}"
        return ""
