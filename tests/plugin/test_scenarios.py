"""What peers' plugins got wrong, with a host that is a folder, a kubelet, and real sockets in between."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.bench.plugin.changes import bind, plug, pull, unbind
from tests.bench.plugin.eyes import FolderEyes
from tests.bench.plugin.vfio_trees import address_of, make_vfio_tree, open_to_vfio
from tests.plugin.kubelet.kubelet import Kubelet, Settings
from tests.plugin.kubelet.places import told
from tests.plugin.kubelet.pods import pod
from tests.plugin.scene import QUICK
from tests.sysfs.reading import at
from vfioctl.plugin.config import parse
from vfioctl.plugin.decisions import Decisions
from vfioctl.plugin.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from vfioctl.model.device import PciDevice
    from vfioctl.plugin.decisions import View

R = "vfioctl.io/nic"
FIRST, SECOND = address_of(0), address_of(1)
VARIABLE = "PCI_RESOURCE_VFIOCTL_IO_NIC"


class InPlace:
    """Looks in this very process."""

    def __init__(self, tree: Path) -> None:
        """Look at the host below a folder."""
        self._eyes = FolderEyes(str(tree))

    async def read(self, places: frozenset[str] | None = None) -> View:
        """Look."""
        return self._eyes(places)


class Machine(NamedTuple):
    """A host with two functions in one resource, its plugin and its kubelet."""

    tree: Path
    kubelet: Kubelet
    plugin: Supervisor
    doorbell: int

    def happens(self, change: Callable[[Path, int, int], None], number: int = 0) -> None:
        """Let something happen to a function, and be reported."""
        change(self.tree, number, self.doorbell)
        self.plugin.poke()

    async def counts(self, capacity: int, allocatable: int) -> None:
        """Wait until the node shows so many."""
        await self.kubelet.until_counts(R, capacity, allocatable)

    def seen(self, address: str) -> PciDevice:
        """Return a function as the plugin sees it."""
        rules = self.plugin.rules
        assert isinstance(rules, Decisions)
        assert rules._view is not None
        return rules._view.host.by_address[at(address)]

    def health(self) -> dict[str, str]:
        """Return what the kubelet was told last of each item."""
        return dict(self.kubelet.happened("listed", R)[-1][2])


@asynccontextmanager
async def machine(place: Path, *, more: str = "") -> AsyncIterator[Machine]:
    """Run them, until everything is registered."""
    tree = make_vfio_tree(place / "host", 1, 2)
    text = f'[[resource]]\nname = "{R}"\nselect = ["15b3:1000"]\n{more}'
    rules = Decisions(parse(f"{told(place)}{text}"))
    reading, doorbell = os.pipe()
    async with Kubelet(str(place), Settings(dial=1.0)) as kubelet:
        plugin = Supervisor(InPlace(tree), rules, lambda held: held, times=QUICK)
        running = asyncio.create_task(plugin.run())
        try:
            await kubelet.until(lambda: plugin.ready)
            yield Machine(tree, kubelet, plugin, doorbell)
        finally:
            plugin.stop()
            await running
            os.close(reading)
            os.close(doorbell)


def test_a_driver_is_unbound_under_the_plugin(place: Path) -> None:
    """Unhealthy, with the command that brings it back in the pod's status; healthy as soon as it is back."""

    async def run() -> None:
        async with machine(place) as host:
            await host.counts(2, 2)
            host.happens(unbind)
            await host.counts(2, 1)
            assert host.health() == {FIRST: "Unhealthy", SECOND: "Healthy"}
            host.happens(unbind, 1)
            refused = await host.kubelet.run(pod("early", {R: 1}))
            assert refused.phase == "Failed"
            await host.counts(2, 0)
            host.happens(bind)
            host.happens(bind, 1)
            await host.counts(2, 2)
            done = await host.kubelet.run(pod("late", {R: 2}))
            assert done.phase == "Running", done.message

    asyncio.run(run())


def test_a_device_is_pulled_out_while_it_is_allocated(place: Path) -> None:
    """It stays in the list, or the kubelet would call it healthy; it returns under the same id."""

    async def run() -> None:
        async with machine(place) as host:
            await host.counts(2, 2)
            done = await host.kubelet.run(pod("p", {R: 2}))
            assert done.phase == "Running", done.message
            host.happens(pull)
            await host.counts(2, 1)
            assert host.health() == {FIRST: "Unhealthy", SECOND: "Healthy"}
            assert done.phase == "Running"
            host.happens(plug)
            await host.counts(2, 2)
            assert len(host.kubelet.happened("register", R)) == 1

    asyncio.run(run())


def test_a_group_gets_another_number(place: Path) -> None:
    """The id stays, since it never was the number; a container gets the node of the new group."""

    def renumber(tree: Path, _number: int, _doorbell: int) -> None:
        device = tree / f"sys/devices/pci0000:00/{FIRST}"
        (tree / "sys/kernel/iommu_groups/0").rename(tree / "sys/kernel/iommu_groups/77")
        (device / "iommu_group").unlink()
        os.symlink("../../../kernel/iommu_groups/77", device / "iommu_group")
        (tree / "sys/class/vfio/0").rename(tree / "sys/class/vfio/77")
        (tree / "dev/vfio/0").rename(tree / "dev/vfio/77")

    async def run() -> None:
        async with machine(place, more='backend = "legacy"\n') as host:
            await host.counts(2, 2)
            host.happens(renumber)
            await host.counts(2, 1)
            host.plugin.poke()
            await host.counts(2, 2)
            done = await host.kubelet.run(pod("p", {R: 2}))
            grant = await host.kubelet.start_container(done, done.containers[0])
            assert grant is not None
            assert dict(grant[R].envs) == {VARIABLE: f"{FIRST},{SECOND}"}
            nodes = {node.host_path for node in grant[R].devices}
            assert nodes == {"/dev/vfio/vfio", "/dev/vfio/1", "/dev/vfio/77"}

    asyncio.run(run())


@pytest.mark.slow
def test_a_function_without_its_own_node(place: Path) -> None:
    """Its group's is enough, unless only iommufd will do: then it is unhealthy until the kernel makes it."""

    def lose_it(tree: Path, number: int, _doorbell: int) -> None:
        shutil.rmtree(tree / f"sys/devices/pci0000:00/{address_of(number)}/vfio-dev")
        (tree / f"sys/class/vfio-dev/vfio{number}").unlink()
        (tree / f"dev/vfio/devices/vfio{number}").unlink()

    def find_it(tree: Path, number: int, _doorbell: int) -> None:
        (tree / f"dev/vfio/{number}").unlink()
        (tree / f"sys/class/vfio/{number}").rmdir()
        open_to_vfio(tree, tree / f"sys/devices/pci0000:00/{address_of(number)}", number)

    async def run(folder: Path, backend: str, allocatable: int) -> None:
        async with machine(folder, more=f'backend = "{backend}"\n') as host:
            (host.tree / "dev/iommu").symlink_to("/dev/null")
            host.plugin.poke()
            await host.counts(2, 2)
            host.happens(lose_it)
            await host.kubelet.until(lambda: host.seen(FIRST).vfio_cdev is None)
            await host.counts(2, allocatable)
            done = await host.kubelet.run(pod("p", {R: allocatable}))
            assert done.phase == "Running", done.message
            host.happens(find_it)
            await host.counts(2, 2)

    for name, backend, allocatable in (("a", "auto", 2), ("b", "iommufd", 1)):
        (place / name).mkdir()
        asyncio.run(run(place / name, backend, allocatable))


def test_no_node_of_the_firmware_is_no_topology(place: Path) -> None:
    """The kernel's -1 is left out, since a kubelet would look for a node of that number."""

    def forget(tree: Path, number: int, _doorbell: int) -> None:
        (tree / f"sys/devices/pci0000:00/{address_of(number)}/numa_node").write_text("-1\n")

    async def run() -> None:
        async with machine(place) as host:
            await host.counts(2, 2)
            assert host.kubelet.books.resources[R].nodes == {FIRST: (0,), SECOND: (1,)}
            host.happens(forget, 1)
            await host.kubelet.until(lambda: host.kubelet.books.resources[R].nodes == {FIRST: (0,)})

    asyncio.run(run())
