"""The plugin watcher: sockets below plugins_registry are asked who they are."""

from __future__ import annotations

import asyncio
import os
import stat
from typing import TYPE_CHECKING, cast

import grpc.aio

from tests.plugin.kubelet.client import DialError, answered, dial
from tests.plugin.kubelet.names import is_extended
from tests.plugin.kubelet.registry import RegistrationError
from vfioctl.plugin.api import registration_pb2 as pb
from vfioctl.plugin.api import registration_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugin.kubelet.registry import Registry
    from vfioctl.plugin.api.registration_pb2_grpc import RegistrationAsyncStub

GET_INFO = 1.0
NOTIFY = 5.0
FIRST_BACKOFF = 0.5
LAST_BACKOFF = 122.0


def sockets_below(folder: str) -> Iterator[tuple[str, int]]:
    """Yield every socket below a folder, with its inode; names with a leading dot are passed over."""
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = os.path.join(base, name)
            try:
                status = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISSOCK(status.st_mode) and not name.startswith("."):
                yield path, status.st_ino


class Watcher:
    """Brings what is registered into line with the sockets that are there, once in each period.

    The sockets stay over a restart of the kubelet, and are registered again by it. That a stream has ended
    changes nothing here: it is still "in the actual state" until its socket is made anew.
    """

    def __init__(self, folder: str, registry: Registry, *, period: float, dial_for: float) -> None:
        """Watch a folder; a real kubelet looks every second and dials for ten."""
        self._folder = folder
        self._registry = registry
        self._period = period
        self._dial_for = dial_for
        self._actual: dict[tuple[str, int], tuple[str, str]] = {}
        self._busy: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._not_before: dict[tuple[str, int], tuple[float, float]] = {}

    async def run(self) -> None:
        """Reconcile, for ever; each socket on its own, so that a dead one holds up nobody (s)."""
        try:
            while True:
                there = set(sockets_below(self._folder))
                for known in set(self._actual) - there:
                    await self._registry.deregister(*self._actual.pop(known))
                for found in there - set(self._actual) - set(self._busy):
                    self._busy[found] = asyncio.create_task(self._try(found))
                await asyncio.sleep(self._period)
        finally:
            for task in list(self._busy.values()):
                task.cancel()

    async def _try(self, found: tuple[str, int]) -> None:
        now = asyncio.get_running_loop().time()
        due, pause = self._not_before.get(found, (now, FIRST_BACKOFF))
        try:
            if now >= due:
                self._actual[found] = await self._register(found[0])
        except (RegistrationError, DialError, grpc.aio.AioRpcError):
            # The period stands for the second that real reconcilers take: scaled alike.
            self._not_before[found] = now + pause * self._period, min(pause * 2, LAST_BACKOFF)
        finally:
            del self._busy[found]

    async def _register(self, path: str) -> tuple[str, str]:
        channel = dial(path)
        try:
            stub = cast("RegistrationAsyncStub", pb_grpc.RegistrationStub(channel))
            await answered(channel, self._dial_for)
            info = await stub.GetInfo(pb.InfoRequest(), timeout=GET_INFO)
            endpoint = info.endpoint or path
            try:
                _check(info)
                await self._registry.connect(info.name, endpoint, self._dial_for, None)
            except RegistrationError as error:
                status = pb.RegistrationStatus(plugin_registered=False, error=str(error))
                await stub.NotifyRegistrationStatus(status, timeout=NOTIFY)
                raise
            await stub.NotifyRegistrationStatus(pb.RegistrationStatus(plugin_registered=True), timeout=NOTIFY)
            return info.name, endpoint
        finally:
            await channel.close()


def _check(info: pb.PluginInfo) -> None:
    """Check what a plugin says of itself; the words are from the source."""
    if info.type != "DevicePlugin":
        raise RegistrationError(f"no handler registered for plugin type: {info.type}")
    if "v1beta1" not in info.supported_versions:
        versions = " ".join(info.supported_versions)
        raise RegistrationError(
            f"the versions supported by the plugin are not supported by kubelet: [{versions}]"
        )
    if not is_extended(info.name):
        raise RegistrationError(
            f'invalid name of device plugin socket: the ResourceName "{info.name}" is invalid'
        )
