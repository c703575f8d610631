"""The node of a long run: a kubelet with its pods, the plugin beside it, and processes that open devices."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from tests.lab.guest import container, kernel, kubelets
from tests.lab.soaking.cards import CARDS, LENT, PAIR, PATIENCE, SINGLE, Card
from tests.plugin.kubelet.kubelet import Kubelet
from tests.plugin.kubelet.places import told
from tests.plugin.kubelet.pods import Pod, pod

if TYPE_CHECKING:
    from pathlib import Path

METRICS: Final = ("127.0.0.1", 9464)
RESOURCES: Final[dict[str, tuple[str, Card]]] = {
    "soak.io/first": (PAIR.addresses[0], PAIR),
    "soak.io/second": (PAIR.addresses[1], PAIR),
    "soak.io/single": (SINGLE.addresses[0], SINGLE),
    "soak.io/lent": (LENT.addresses[0], LENT),
}
"""Resource, the one device of it, and the card that this is a function of."""
_RESOURCE: Final = (
    '[[resource]]\nname = "{name}"\nselect = ["{address}"]\nbind = "{bind}"\npriority = {priority}\n'
    'shared_group = "exclusive"\n'
)


class Tenant:
    """A pod that was admitted, and the process that has its device open."""

    def __init__(self, resource: str, admitted: Pod) -> None:
        """Keep them; nothing is open yet."""
        self.resource = resource
        self.pod = admitted
        self.address, self.card = RESOURCES[resource]
        self._open = ExitStack()
        self._process: Any = None

    def hold(self) -> None:
        """Open the group, in a mount namespace of its own."""
        self._process = self._open.enter_context(
            container.holding(f"/dev/vfio/{kernel.group_of(self.address)}")
        )

    def leave(self, *, violently: bool = False) -> None:
        """End the process, and the pod with it."""
        if violently and self._process is not None:
            self._process.kill()
        self._open.close()
        self.pod.phase = "Failed" if violently else "Succeeded"


class Node:
    """A kubelet, the plugin and the pods."""

    def __init__(self, folder: Path) -> None:
        """Keep where it lives; ``start`` begins."""
        self.folder = folder
        self.kubelet = Kubelet(str(folder), kubelets.settings(dial=60.0, pre_start=PATIENCE))
        self.tenants: list[Tenant] = []
        self.lives = 0
        """How often the plugin was started."""
        self._plugin: asyncio.subprocess.Process | None = None
        self._revision = 0
        self._pods = 0

    @property
    def pid(self) -> int:
        """The plugin's."""
        assert self._plugin is not None
        return self._plugin.pid

    async def start(self) -> None:
        """Start the kubelet, then the plugin."""
        self._configure()
        await self.kubelet.start()
        await self.start_plugin()

    async def stop(self) -> None:
        """End pods, plugin and kubelet."""
        for tenant in self.tenants:
            tenant.leave()
        if self._plugin is not None and self._plugin.returncode is None:
            self._plugin.terminate()
            await asyncio.wait_for(self._plugin.wait(), PATIENCE)
        await self.kubelet.stop()

    async def start_plugin(self) -> None:
        """Start the plugin."""
        command = (sys.executable, "-m", "vfioctl", "serve-plugin", "--config", str(self._configuration))
        with (self.folder / "log").open("ab") as log:
            self._plugin = await asyncio.create_subprocess_exec(*command, stderr=log)
        self.lives += 1

    async def kill_plugin(self) -> None:
        """Kill the plugin at once, whatever it is doing, and start another."""
        assert self._plugin is not None
        self._plugin.kill()
        await self._plugin.wait()
        await self.start_plugin()

    def reload(self) -> None:
        """Have the plugin read another configuration."""
        self._revision += 1
        self._configure()
        assert self._plugin is not None
        self._plugin.send_signal(signal.SIGHUP)

    def check_alive(self) -> None:
        """Fail when the plugin has ended by itself."""
        assert self._plugin is not None
        assert self._plugin.returncode is None, f"the plugin ended: {self._plugin.returncode}\n{self.said()}"

    def said(self) -> str:
        """Give the end of the plugin's log."""
        return (self.folder / "log").read_text(encoding="utf-8")[-6000:]

    @property
    def _configuration(self) -> Path:
        return self.folder / "plugin.toml"

    def _configure(self) -> None:
        host, port = METRICS
        text = told(self.folder, f"{host}:{port}")
        for name, (address, card) in RESOURCES.items():
            bind = "on-demand" if card.lent else "assume"
            text += _RESOURCE.format(name=name, address=address, bind=bind, priority=self._revision % 2)
        self._configuration.write_text(text, encoding="utf-8")

    async def admit(self, resource: str, *, holding: bool) -> tuple[str, float]:
        """Admit a pod that wants a device and start it; give how that ended, and the seconds it took."""
        self._pods += 1
        wanted = pod(f"pod-{self._pods}", {resource: 1})
        began = time.monotonic()
        await asyncio.wait_for(self.kubelet.admit(wanted), PATIENCE)
        took = time.monotonic() - began
        if not wanted.active:
            return f"refused: {wanted.message}", took
        tenant = Tenant(resource, wanted)
        self.tenants.append(tenant)
        for _ in range(5):
            # A kubelet tries again.
            grant = await self.kubelet.start_container(wanted, wanted.containers[0])
            if grant is not None:
                break
            await asyncio.sleep(2)
        else:
            self.leave(tenant)
            return f"never started: {wanted.containers[0].waiting}", took
        if holding:
            await asyncio.to_thread(tenant.hold)
        return "admitted", took

    def leave(self, tenant: Tenant, *, violently: bool = False) -> None:
        """End a pod."""
        tenant.leave(violently=violently)
        self.tenants.remove(tenant)

    def occupants(self, card: Card) -> list[Tenant]:
        """Give the pods that have something of a card."""
        return [tenant for tenant in self.tenants if tenant.card == card]

    def expected(self) -> dict[str, bool]:
        """Say which resources must be offered, once everybody has noticed how things stand."""
        return {
            name: card.fit and all(other.address == address for other in self.occupants(card))
            for name, (address, card) in RESOURCES.items()
        }

    def offered(self) -> dict[str, bool]:
        """Say which resources the node offers."""
        return {name: self.kubelet.books.counts(name)[1] == 1 for name in RESOURCES}

    async def converged(self) -> float:
        """Wait until the node offers what it must, and nothing else; give the seconds that it took."""
        began = time.monotonic()
        while self.offered() != self.expected():
            self.check_alive()
            assert time.monotonic() - began < PATIENCE, (
                f"offered {self.offered()}, expected {self.expected()}\n{self.said()}"
            )
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    def check_exclusive(self) -> None:
        """Fail when two pods have something of one group."""
        for card in CARDS:
            pods = {tenant.pod.uid for tenant in self.occupants(card)}
            assert len(pods) < 2, f"{card.addresses} are held by {pods}\n{self.said()}"
