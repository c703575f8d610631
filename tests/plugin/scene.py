"""A plugin and a kubelet in one event loop, over real unix sockets; a table of the test decides."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.plugin.kubelet.kubelet import Kubelet, Settings
from tests.plugin.kubelet.places import plugins_of
from vfioctl.plugin.explain import Answer, Verdict
from vfioctl.plugin.registration import Pace
from vfioctl.plugin.settings import REGISTRY
from vfioctl.plugin.supervisor import Supervisor, Times
from vfioctl.plugin.values import Denied, Grant, Item, Node, Offer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

GPU = "foo.com/gpu"
NIC = "foo.com/nic"

QUICK = Times(
    resync=30.0,
    settle=0.001,
    doubt=0.01,
    retry=0.02,
    reload=0.01,
    farewell=1.5,
    watch=0.005,
    pace=Pace(deadline=2.0, stream_wait=1.0, steady=10.0, apart=0.01, first=0.01, last=0.1),
)
"""As in earnest, a hundred times as fast; the periodic look stays out of the way."""


def item(resource: str, name: str, reason: str | None = None, numa: tuple[int, ...] = ()) -> Item:
    """Make an item without PCI functions."""
    return Item(name, resource, (), numa, None, reason)


def offer(resource: str, *names: str) -> Offer:
    """Make an offer of healthy items; ``-name`` is missing."""
    items = (item(resource, name.lstrip("-"), "missing" if name[0] == "-" else None) for name in names)
    return Offer(resource, tuple(items))


class Table:
    """Rules that are a table: what a look returns is what is published."""

    def __init__(self, kubelet_dir: str, *, watcher: bool = False, file: str | None = None) -> None:
        """Serve in this folder."""
        self.kubelet_dir = kubelet_dir
        self.sockets_dir = f"{kubelet_dir}/{REGISTRY}" if watcher else plugins_of(kubelet_dir)
        self.watcher = watcher
        self.file = file
        self.listen = ""
        self.cordoned: frozenset[str] = frozenset()
        self.judged = 0
        self.again: float | None = None
        self.seen: tuple[Offer, ...] = ()

    def judge(self, view: Iterable[Offer]) -> tuple[tuple[Offer, ...], bool]:
        """Publish what was seen."""
        self.judged += 1
        self.seen = tuple(self._cordon(one) for one in view)
        return self.seen, False

    def _cordon(self, offered: Offer) -> Offer:
        items = (one._replace(reason="cordoned") if one.id in self.cordoned else one for one in offered.items)
        return offered._replace(items=tuple(items))

    def known(self, subject: str) -> str | None:
        """Know what is offered."""
        return subject if any(one.id == subject for offered in self.seen for one in offered.items) else None

    def explain(self, subject: str) -> tuple[Answer, ...]:
        """Explain nothing but who has it."""
        return tuple(
            Answer(offered.resource, Verdict.OFFERED, one.id, ())
            for offered in self.seen
            for one in offered.items
            if one.id == subject
        )

    def arbitrate(self, offers: Iterable[Offer]) -> tuple[Offer, ...]:
        """Leave everything as it is: nobody owns anything here."""
        return tuple(offers)

    def allocate(self, offered: Offer, ids: tuple[str, ...]) -> Grant | Denied:
        """Grant a node for each id, and the ids in the environment."""
        known = {one.id: one for one in offered.items}
        for name in ids:
            if name not in known:
                return Denied("NOT_FOUND", f"{offered.resource} has no item {name}")
            if known[name].reason is not None:
                return Denied("FAILED_PRECONDITION", f"{name} is {known[name].reason}")
        nodes = tuple(Node(f"/dev/vfio/{name}", f"/dev/vfio/{name}", "rw") for name in ids)
        return Grant(envs=(("IDS", ",".join(ids)),), nodes=nodes)

    def starts(self, resource: str) -> bool:
        """Ask for nothing before containers start."""
        del resource
        return False

    async def prepare(self, offered: Offer, ids: tuple[str, ...]) -> Denied | None:
        """Agree."""
        del offered, ids
        return None

    def prefer(
        self, offered: Offer, available: tuple[str, ...], must_include: tuple[str, ...], size: int
    ) -> tuple[str, ...] | Denied:
        """Prefer the last ones."""
        del offered
        rest = [name for name in reversed(available) if name not in must_include]
        return (*must_include, *rest)[:size]


class Eyes:
    """See what the test says."""

    def __init__(self, *offers: Offer) -> None:
        """See these offers."""
        self.offers: tuple[Offer, ...] = offers
        self.asked: list[frozenset[str] | None] = []
        """Where it was to look, each time; None: everywhere."""
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, places: frozenset[str] | None = None) -> object:
        """Look; blocks while the gate is shut."""
        self.asked.append(places)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.offers


class Scene(NamedTuple):
    """What is on the stage."""

    kubelet: Kubelet
    plugin: Supervisor
    eyes: Eyes

    def see(self, *offers: Offer) -> None:
        """Change the host, and ring."""
        self.eyes.offers = offers
        self.plugin.poke()

    async def settled(self, **counts: tuple[int, int]) -> None:
        """Wait until the node shows capacity and allocatable of each ``foo.com/...``."""
        for name, numbers in counts.items():
            await self.kubelet.until_counts(f"foo.com/{name}", *numbers)


@asynccontextmanager
async def scene(
    folder: object,
    *offers: Offer,
    settings: Settings | None = None,
    rules: Table | None = None,
    times: Times = QUICK,
    doors: Sequence[str] = (),
    kubelet_runs: bool = True,
) -> AsyncIterator[Scene]:
    """Run a plugin and a kubelet in a folder, and close both."""
    kubelet = Kubelet(str(folder), settings or Settings(dial=1.0))
    eyes = Eyes(*offers)
    plugin = Supervisor(eyes, rules or Table(str(folder)), lambda held: held, times=times, doors=doors)
    try:
        if kubelet_runs:
            await kubelet.start()
        running = asyncio.create_task(plugin.run())
        try:
            yield Scene(kubelet, plugin, eyes)
        finally:
            plugin.stop()
            await running
    finally:
        await kubelet.stop()


def sockets(folder: str) -> list[str]:
    """Return the plugin's own sockets in a folder."""
    return sorted(name for name in os.listdir(folder) if name.startswith("vfioctl-"))
