"""A kubelet and a plugin that looks at a host, in one event loop, over real unix sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.plugin.kubelet.kubelet import Kubelet, Settings
from tests.plugin.kubelet.places import told
from tests.plugin.scene import QUICK
from vfioctl.plugin.config import parse
from vfioctl.plugin.decisions import Decisions, View
from vfioctl.plugin.sight import Sight
from vfioctl.plugin.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.plugin.kubelet.pods import Pod
    from vfioctl.model.host import Host
    from vfioctl.plugin.api.deviceplugin_pb2 import ContainerAllocateResponse
    from vfioctl.plugin.naming import Names


class Eyes:
    """See one host, with every node that it has."""

    def __init__(self, host: Host) -> None:
        """See this."""
        self.host = host

    async def read(self, places: frozenset[str] | None = None) -> object:
        """Look; at everything, wherever it would be enough."""
        del places
        return View(self.host, Sight(usb=(), has_node=lambda _path: True))


class Stage(NamedTuple):
    """Who is on it."""

    kubelet: Kubelet
    plugin: Supervisor

    async def registered(self) -> None:
        """Wait until the kubelet has the list of every resource."""
        await self.kubelet.until(lambda: self.plugin.ready)
        for name, kept in self.plugin.kept.items():
            items = kept.service.offer.items
            fit = sum(item.reason is None for item in items)
            await self.kubelet.until_counts(name, len(items), fit)

    async def answers(self, pod: Pod) -> dict[str, ContainerAllocateResponse]:
        """Run a pod, and return what its container is given of each resource."""
        await self.kubelet.run(pod)
        assert pod.phase == "Running", pod.message
        given = await self.kubelet.start_container(pod, pod.containers[0])
        assert given is not None
        return given


@asynccontextmanager
async def serving_host(
    place: Path, host: Host, resources: str, names: Names | None = None
) -> AsyncIterator[Stage]:
    """Serve these resources of a host, until all of them are registered and after."""
    config = parse(f"{told(place)}{resources}")
    plugin = Supervisor(Eyes(host), Decisions(config, names=names), lambda held: held, times=QUICK)
    async with Kubelet(str(place), Settings(dial=1.0)) as kubelet:
        running = asyncio.create_task(plugin.run())
        stage = Stage(kubelet, plugin)
        try:
            await stage.registered()
            yield stage
        finally:
            plugin.stop()
            await running
