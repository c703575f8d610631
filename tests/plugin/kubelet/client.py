"""The kubelet's side of one registration: one connection, over which everything is asked."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, cast

import grpc
import grpc.aio

from vfioctl.plugin.api import deviceplugin_pb2 as pb
from vfioctl.plugin.api import deviceplugin_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vfioctl.plugin.api.deviceplugin_pb2_grpc import DevicePluginAsyncStub

MOST_BYTES = 4_194_304
"""A larger message ends the stream with RESOURCE_EXHAUSTED (grpc-go's default, never changed)."""


class DialError(Exception):
    """Nobody answered within the time that a kubelet dials."""


def dial(path: str) -> grpc.aio.Channel:
    """Return a connection of its own; the authority is what kubelets send."""
    options = [
        ("grpc.default_authority", "localhost"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", MOST_BYTES),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
    ]
    return grpc.aio.insecure_channel(f"unix:{path}", options=options)


async def answered(channel: grpc.aio.Channel, within: float) -> None:
    """Wait until somebody answers.

    Looked at again and again: a watch on the state that is given up leaves gRPC waiting for it for ever, and
    Python then hangs when gRPC's last object goes.

    Raises:
        DialError: nobody did in time.

    """
    end = monotonic() + within
    while channel.get_state(try_to_connect=True) is not grpc.ChannelConnectivity.READY:
        if monotonic() > end:
            raise DialError
        await asyncio.sleep(0.001)


class Client:
    """One registered plugin."""

    def __init__(self, resource: str, path: str) -> None:
        """Keep where it is; nothing is dialled yet."""
        self.resource = resource
        self.path = path
        self.options = pb.DevicePluginOptions()
        self._channel = dial(path)
        # The stub has this shape over a channel of grpc.aio.
        stub = pb_grpc.DevicePluginStub(self._channel)
        self.stub = cast("DevicePluginAsyncStub", stub)
        self._stream: grpc.aio.UnaryStreamCall[pb.Empty, pb.ListAndWatchResponse] | None = None
        self._closed = False
        self.listed = asyncio.Event()
        """Set by the first list, or by the end."""
        self.ended = asyncio.Event()

    async def connect(self, dial_for: float, deadline: float | None) -> None:
        """Dial, blocking, and ask for the options; what Register itself said of them is ignored.

        Raises:
            DialError: nobody answered in time.
            grpc.aio.AioRpcError: the question failed; ``deadline`` is what is left of Register's.

        """
        await answered(self._channel, dial_for)
        self.options = await self.stub.GetDevicePluginOptions(pb.Empty(), timeout=deadline)

    async def run(self, receive: Callable[[Iterable[pb.Device]], None]) -> grpc.StatusCode | None:
        """Hand every list on until the stream ends, and return the status that it ended with."""
        self._stream = stream = self.stub.ListAndWatch(pb.Empty())
        try:
            async for message in stream:
                receive(message.devices)
                self.listed.set()
            return await stream.code()
        except grpc.aio.AioRpcError as error:
            return error.code()
        except (grpc.aio.UsageError, asyncio.CancelledError):
            if not self._closed:
                raise
            return None
        finally:
            stream.cancel()
            self.listed.set()
            self.ended.set()

    async def close(self) -> None:
        """Close the connection, and with it every call on it."""
        self._closed = True
        # Closing a channel does not reliably wake who waits for a message on it.
        if self._stream is not None:
            self._stream.cancel()
        await self._channel.close()
