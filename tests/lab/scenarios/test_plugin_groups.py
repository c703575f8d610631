"""serve-plugin beside a kubelet, with a real group: who has it, when it is free, and whose it is then."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.lab.guest import container, kernel, kernel_log, kubelets, libraries, ready, vfio
from tests.plugin.kubelet.places import told

BRIDGE = "0000:00:02.0"
FIRST, SECOND = "0000:02:01.0", "0000:02:02.0"
PATIENCE = 90.0
"""Seconds for what takes one elsewhere: two interpreters start under TCG."""
PROMISE = 15.0
"""Seconds from the end of a process and its pod until all of its group is offered again: it takes eleven or
twelve, and what is left is for a busy machine under TCG."""

CLAIMS = Path("/run/vfioctl/plugin-claims.json")
"""Who the plugin says has what."""

pytestmark = [pytest.mark.once, pytest.mark.topologies("legacy"), pytest.mark.deadline(420)]

RESOURCE = '[[resource]]\nname = "v.io/{name}"\nselect = ["{address}"]\nbind = "{bind}"\n'


@pytest.fixture(autouse=True)
def _changes_are_reported():
    """Have libudev found, by which the kernel's reports arrive."""
    libraries.listed()


@pytest.fixture
def _bridge_released():
    """Have the bridge without shpchp, which would keep its group from VFIO (K19)."""
    kernel.modprobe("vfio-pci", "vfio_iommu_type1")
    kernel.unbind(BRIDGE)
    yield
    kernel.write(kernel.DRIVERS / "shpchp/bind", BRIDGE)


@asynccontextmanager
async def served(folder: Path, bind: str, more: str = ""):
    """Run a kubelet and the plugin, with a resource for each of the two cards."""
    from tests.plugin.kubelet.kubelet import Kubelet

    text = told(folder)
    text += RESOURCE.format(name="first", address=FIRST, bind=bind) + more
    text += RESOURCE.format(name="second", address=SECOND, bind=bind) + more
    (folder / "plugin.toml").write_text(text, encoding="utf-8")
    async with Kubelet(str(folder), kubelets.settings(pre_start=PATIENCE)) as kubelet:
        with (folder / "log").open("wb") as log:
            words = ("serve-plugin", "--config", str(folder / "plugin.toml"))
            plugin = ready.Fork(ready.TOOL, *words, stderr=log.fileno())
        try:
            await counted(kubelet, folder, first=1, second=1)
            yield kubelet
        finally:
            plugin.terminate()
            await asyncio.to_thread(plugin.wait, PATIENCE)
            plugin.close()


async def counted(kubelet, folder: Path, **allocatable: int) -> None:
    """Wait until the node offers this; what the plugin said is shown when it does not."""
    try:
        await kubelet.until(
            lambda: all(
                kubelet.books.counts(f"v.io/{name}") == (1, number) for name, number in allocatable.items()
            ),
            within=PATIENCE,
        )
    except AssertionError as error:
        raise AssertionError(f"{error}\n{(folder / 'log').read_text(encoding='utf-8')}") from error


@pytest.mark.usefixtures("_bridge_released")
@pytest.mark.parametrize("seen", [True, False])
def test_a_group_is_one_pods_until_its_process_ends(tmp_path, seen):
    """The sibling in the other resource is unhealthy meanwhile; both are offered again soon after.

    The end of a process that was seen is told by the kernel, from another mount namespace.
    """
    from tests.plugin.kubelet.pods import pod

    async def run() -> float:
        async with served(tmp_path, "assume") as kubelet:
            one = await kubelet.run(pod("a", {"v.io/first": 1}))
            assert one.active, one.message
            grant = await kubelet.start_container(one, one.containers[0])
            group = f"/dev/vfio/{kernel.group_of(FIRST)}"
            assert grant is not None
            assert group in [node.host_path for node in grant["v.io/first"].devices]
            with container.holding(group):
                await counted(kubelet, tmp_path, first=1, second=0)
                two = await kubelet.admit(pod("b", {"v.io/second": 1}))
                assert two.phase == "Failed"
                await kubelet.until(lambda: '"default", "a", "main"' in CLAIMS.read_text(), within=PATIENCE)
                if seen:
                    await until_in_use(FIRST)
            began = time.monotonic()
            one.phase = "Succeeded"
            await counted(kubelet, tmp_path, first=1, second=1)
            await kubelet.until(lambda: released(tmp_path, FIRST), within=PATIENCE)
            took = time.monotonic() - began
            three = await kubelet.admit(pod("c", {"v.io/second": 1}))
            assert three.active, three.message
            return took

    with kernel.given_to_vfio([FIRST, SECOND]):
        took = asyncio.run(run())
    how = "was known to have them" if seen else "was too short to be seen"
    kernel_log.note(f"both cards were offered again {took:.1f} s after the pod and its process, which {how}")
    assert took < PROMISE, (tmp_path / "log").read_text(encoding="utf-8")


async def until_in_use(item: str) -> None:
    """Wait until the plugin knows of a process that has an item's group open."""
    from vfioctl.plugin.asking import ask
    from vfioctl.plugin.protocol import Request

    for _ in range(int(PATIENCE)):
        told = await asyncio.to_thread(ask, Request("status"))
        states = {one["id"]: one["state"] for resource in told["resources"] for one in resource["items"]}
        if states[item] == "in-use":
            return
        await asyncio.sleep(0.5)
    raise AssertionError(states)


def released(folder: Path, address: str) -> bool:
    """Tell whether the plugin said that it released a card."""
    log = (folder / "log").read_text(encoding="utf-8")
    return any("released" in line and address in line for line in log.splitlines())


@pytest.mark.usefixtures("_bridge_released")
def test_a_stranger_keeps_the_group_while_it_has_it_open(tmp_path):
    """A process in no pod, through a node of its own: both cards are its, and free when it ends."""

    async def run() -> None:
        async with served(tmp_path, "assume") as kubelet:
            with container.holding(f"/dev/vfio/{kernel.group_of(FIRST)}"):
                await counted(kubelet, tmp_path, first=0, second=0)
            began = time.monotonic()
            await counted(kubelet, tmp_path, first=1, second=1)
            took = time.monotonic() - began
            kernel_log.note(f"both cards were offered again {took:.1f} s after a stranger had ended")

    with kernel.given_to_vfio([FIRST, SECOND]):
        asyncio.run(run())


def test_on_demand_the_cards_are_the_hosts_before_and_after(tmp_path):
    """PreStartContainer takes the whole group from the host's drivers, the bridge's included: all goes back."""
    from tests.plugin.kubelet.pods import pod

    kernel.modprobe("vfio-pci", "vfio_iommu_type1")
    before = {address: kernel.driver_of(address) for address in (FIRST, SECOND, BRIDGE)}
    assert set(before.values()) == {"e1000", "shpchp"}

    def drivers() -> dict[str, str]:
        return {address: kernel.driver_of(address) for address in before}

    async def run() -> None:
        async with served(tmp_path, "on-demand", "release_shpchp = true\n") as kubelet:
            assert drivers() == before
            one = await kubelet.admit(pod("a", {"v.io/first": 1}))
            assert one.active, one.message
            assert drivers() == before
            for _ in range(5):
                # A kubelet tries again; on a busy machine it may have to.
                grant = await kubelet.start_container(one, one.containers[0])
                if grant is not None:
                    break
            assert grant is not None, one.containers[0].waiting
            assert drivers() == {FIRST: "vfio-pci", SECOND: "vfio-pci", BRIDGE: ""}
            # Else shpchp would keep the group from VFIO (K19).
            assert vfio.is_viable(kernel.group_of(FIRST))
            (group,) = [node.host_path for node in grant["v.io/first"].devices if node.host_path[-1].isdigit()]
            with container.holding(group):
                await counted(kubelet, tmp_path, first=1, second=0)
            began = time.monotonic()
            one.phase = "Succeeded"
            while drivers() != before:
                assert time.monotonic() - began < 2 * PATIENCE, (tmp_path / "log").read_text(encoding="utf-8")
                # Not more often: under TCG asking alone would take the processor from whom is waited for.
                await asyncio.sleep(0.5)
            took = time.monotonic() - began
            kernel_log.note(f"the host's drivers had all of it again {took:.1f} s after the pod's end")
            await counted(kubelet, tmp_path, first=1, second=1)

    asyncio.run(run())
