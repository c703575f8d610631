"""One resource's server on one socket."""

from __future__ import annotations

import os
from contextlib import suppress

import grpc
import grpc.aio

from vfioctl.plugin.api import deviceplugin_pb2_grpc as pb_grpc
from vfioctl.plugin.api import registration_pb2 as watcher_pb
from vfioctl.plugin.api import registration_pb2_grpc as watcher_pb_grpc
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from vfioctl.plugin.service import Service

    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

VERSION = "v1beta1"
"""Of the device plugin protocol: the only one there is."""


class ServingError(Exception):
    """A socket could not be served on; the text says where and why."""


class ResourceServer:
    """A server of its own: a servicer cannot tell by which socket a call came."""

    def __init__(self, service: Service, path: str) -> None:
        """Make it; nothing is served yet."""
        self.path = path
        self._server = grpc.aio.server()
        pb_grpc.add_DevicePluginServicer_to_server(service, self._server)

    def announce(self, resource: str, told: Callable[[str | None], None]) -> None:
        """Answer the kubelet's plugin watcher too; ``told`` gets its refusal, or None where it is content."""
        watcher_pb_grpc.add_RegistrationServicer_to_server(_Announcement(resource, told), self._server)

    async def start(self) -> None:
        """Serve.

        Raises:
            ServingError: the folder is not there, is full or may not be written to, or the path is too long.

        """
        try:
            self._server.add_insecure_port(f"unix:{self.path}")
            await self._server.start()
        except (RuntimeError, grpc.aio.BaseError) as error:
            await self.stop()
            raise ServingError(f"cannot serve on {self.path}: {_why(self.path, error)}") from error

    async def stop(self) -> None:
        """End every call at once, and remove the socket."""
        await self._server.stop(None)
        # Removed by grpc already, unless the folder was replaced or the server never started.
        with suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108 - one call


def _why(path: str, error: BaseException) -> str:
    """Say why it failed; grpc says only that it did."""
    folder = os.path.dirname(path)  # noqa: PTH120 - of a text
    try:
        with open(f"{path}.try", "xb") as file:  # noqa: PTH123 - one call
            file.write(b"\0")
    except OSError as found:
        return f"{folder}: {found.strerror}"
    finally:
        with suppress(OSError):
            os.unlink(f"{path}.try")  # noqa: PTH108 - one call
    return str(error)


class _Announcement(watcher_pb_grpc.RegistrationServicer):
    """What the plugin watcher asks of a socket that it found."""

    def __init__(self, resource: str, told: Callable[[str | None], None]) -> None:
        self._resource = resource
        self._told = told

    async def GetInfo(  # noqa: N802 - the protocol's name
        self, request: watcher_pb.InfoRequest, context: Context
    ) -> watcher_pb.PluginInfo:
        del request, context
        # No endpoint: this very socket.
        return watcher_pb.PluginInfo(
            type="DevicePlugin", name=self._resource, endpoint="", supported_versions=[VERSION]
        )

    async def NotifyRegistrationStatus(  # noqa: N802 - the protocol's name
        self, request: watcher_pb.RegistrationStatus, context: Context
    ) -> watcher_pb.RegistrationStatusResponse:
        del context
        self._told(None if request.plugin_registered else request.error)
        return watcher_pb.RegistrationStatusResponse()
