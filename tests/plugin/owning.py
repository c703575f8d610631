"""The plugin with its real rules and its ledger, and a kubelet, over real sockets; time is the test's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING
from unittest.mock import patch

from tests.plugin.factory import machine, seeing
from tests.plugin.kubelet.kubelet import Kubelet, Settings
from tests.plugin.kubelet.places import told
from tests.plugin.scene import QUICK
from vfioctl.plugin import minding
from vfioctl.plugin.bell import Bell
from vfioctl.plugin.binding import AtStart, Binding
from vfioctl.plugin.config import parse
from vfioctl.plugin.decisions import Decisions, View
from vfioctl.plugin.keeper import Keeper
from vfioctl.plugin.kubelet import list_pods
from vfioctl.plugin.minding import Minder, Rhythm
from vfioctl.plugin.release import Release
from vfioctl.plugin.serving import bind_at_start
from vfioctl.plugin.supervisor import Supervisor
from vfioctl.plugin.surveying import Survey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.plugin.kubelet.pods import Pod
    from vfioctl.errors import VfioctlError
    from vfioctl.model.device import PciDevice
    from vfioctl.plugin.claims import Key, Owner
    from vfioctl.plugin.hands import Hands
    from vfioctl.plugin.ownership import Row
    from vfioctl.sysfs.openers import Opener

RHYTHM = Rhythm(least=0.001, first=0.01, last=0.1, gather=0.0)
TICK = 0.1
ANSWERED = 0.5
"""Real seconds that the kubelet may take for an answer without any time going by: it comes over a socket, and
from a thread that a busy machine lets wait."""


class Time:
    """A time that goes by while a test waits for something, and never while it does something."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.now = 1000.0
        self._bell = Bell()

    def __call__(self) -> float:
        """Tell it."""
        return self.now

    def tick(self) -> None:
        """Go on a bit."""
        self.now += TICK
        self._bell.ring()

    async def until(self, when: float) -> None:
        """Wait for it."""
        await self._bell.until(lambda: self.now >= when)


class Host:
    """A host that is what the test says, and who has which node open."""

    def __init__(self, *devices: PciDevice) -> None:
        """Have these devices."""
        self.view = View(machine(*devices), seeing())
        self.openers: tuple[Opener, ...] = ()
        self.look_error: VfioctlError | None = None
        self._ended: set[int] = set()
        self._bell = Bell()

    async def ended(self, pid: int) -> None:
        """Wait for the end of a process."""
        await self._bell.until(lambda: pid in self._ended)

    def end(self, pid: int) -> None:
        """End a process: nobody looks, and whoever waits for its end hears of it."""
        self.openers = tuple(opener for opener in self.openers if opener.pid != pid)
        self._ended.add(pid)
        self._bell.ring()

    async def read(self, places: frozenset[str] | None = None) -> object:
        """Look; at everything, wherever it would be enough."""
        del places
        return self.view

    async def look(self) -> tuple[Opener, ...]:
        """Look for open nodes."""
        if self.look_error is not None:
            raise self.look_error
        return self.openers

    def has(self, *devices: PciDevice) -> None:
        """Have others from now on."""
        self.view = View(machine(*devices), seeing())


@dataclass
class Plugin:
    """One life of the plugin; `kill` ends it as SIGKILL does."""

    supervisor: Supervisor
    keeper: Keeper
    minder: Minder
    rules: Decisions
    tasks: tuple[asyncio.Task[None], ...]

    def table(self) -> dict[str, Row]:
        """Return the ownership table by item."""
        rules = self.supervisor.rules
        assert isinstance(rules, Decisions)
        return {row.id: row for row in rules.table()}

    def states(self) -> dict[str, tuple[str, str | None, str | None]]:
        """Return state, pod and reason of each item."""
        return {row.id: (row.state.value, row.owner, row.reason) for row in self.table().values()}

    async def kill(self) -> None:
        """End it without a word: nothing is said to the kubelet, nothing is written."""
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


@dataclass
class Stage:
    """A kubelet, a host, and the plugin of the moment."""

    folder: str
    text: str
    host: Host
    kubelet: Kubelet
    hands: Hands | None
    plugin: Plugin
    time: Time = field(default_factory=Time)
    surveyed: bool = False
    """Whether the hands are asked what the host can spare."""
    at_start: bool = False
    unanswered: float = -ANSWERED
    """When the kubelet was asked what it has not answered."""

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds, and let time go by; what the table says is said when it does not."""

        def ticking() -> object:
            found = holds()
            if not found and self.unanswered < monotonic() - ANSWERED:
                self.time.tick()
            return found

        try:
            await self.kubelet.until(ticking, within=30.0)
        except AssertionError as error:
            raise AssertionError(f"{self.plugin.states()}\n{self.plugin.keeper.ledger}\n{error}") from error

    async def until_state(self, item: str, state: str) -> None:
        """Wait until an item is in a state."""
        await self.until(lambda: self.plugin.states()[item][0] == state)

    async def until_reason(self, item: str, reason: str | None) -> None:
        """Wait until an item is published with a reason."""
        await self.until(lambda: self.plugin.states()[item][2] == reason)

    async def until_counts(self, resource: str, capacity: int, allocatable: int) -> None:
        """Wait until the node shows these numbers."""
        await self.until(lambda: self.kubelet.books.counts(resource) == (capacity, allocatable))

    async def until_free(self) -> None:
        """Wait until nobody has anything, and everything is healthy."""
        await self.until(
            lambda: all(state[0] == "free" and state[2] is None for state in self.plugin.states().values())
        )
        # The kubelet's list comes a moment later; no time goes by meanwhile.
        await self.kubelet.until(self._is_offered, within=30.0)

    async def restart(self) -> None:
        """Kill the plugin, and start another one."""
        await self.plugin.kill()
        self.plugin = start(self)
        await self.begun()

    async def begun(self) -> None:
        """Wait until all is registered and the kubelet has said what pods have; no time goes by."""
        await self.kubelet.until(
            lambda: self.plugin.supervisor.ready and self.plugin.keeper.ledger.answered and self._is_listed(),
            within=30.0,
        )

    async def announced(self, pod: Pod) -> Pod:
        """Have the kubelet know of a pod, and the plugin hear of it; no time goes by."""
        self.kubelet.announce(pod)
        await self.kubelet.until(
            lambda: pod.uid in {spec.uid for spec in self.plugin.keeper.ledger.specs.pods}, within=30.0
        )
        return pod

    def _is_offered(self) -> bool:
        """Tell whether the kubelet has everything for healthy."""
        offers = (kept.service.offer for kept in self.plugin.supervisor.kept.values())
        return all(self.kubelet.books.counts(one.resource) == (len(one.items),) * 2 for one in offers)

    def _is_listed(self) -> bool:
        """Tell whether the kubelet has received every list."""
        offers = (kept.service.offer for kept in self.plugin.supervisor.kept.values())
        return all(self.kubelet.books.counts(one.resource)[0] == len(one.items) for one in offers)

    def see(self, *devices: PciDevice) -> None:
        """Change the host, and have it looked at."""
        self.host.has(*devices)
        self.plugin.supervisor.poke()


def start(stage: Stage) -> Plugin:
    """Start a plugin."""
    keeper = Keeper(f"{stage.folder}/claims.json", "boot", stage.time)
    first = Decisions(parse(stage.text), keeper=keeper, binding=Binding(keeper, stage.hands))

    def rules() -> Decisions:
        assert isinstance(supervisor.rules, Decisions)
        return supervisor.rules

    eyes = Survey(stage.host, rules, stage.hands) if stage.surveyed else stage.host
    supervisor = Supervisor(eyes, first, lambda held: held, times=QUICK._replace(settle=0.005, doubt=0.005))

    clean = Release(keeper, lambda: rules().config, stage.hands, again=0.05)
    minder = Minder(keeper, supervisor, stage.host.look, clean, RHYTHM, stage.time.until, stage.host.ended)
    work = [supervisor.run(), minder.run()]
    if stage.at_start:
        work.append(bind_at_start(supervisor, AtStart(stage.hands, supervisor.poke)))
    return Plugin(supervisor, keeper, minder, first, tuple(map(asyncio.create_task, work)))


def tables(folder: object, *resources: str) -> str:
    """Return a configuration of these tables."""
    return told(folder) + "".join(f"[[resource]]\n{resource}\n" for resource in resources)


@contextmanager
def noting_questions(stage: Stage) -> Iterator[None]:
    """Note when the kubelet is asked, and that it has answered."""

    async def noted(kubelet_dir: str) -> dict[Key, Owner]:
        stage.unanswered = monotonic()
        try:
            return await list_pods(kubelet_dir)
        finally:
            stage.unanswered = -ANSWERED

    with patch.object(minding, "list_pods", noted):
        yield


@asynccontextmanager
async def owning(
    folder: object,
    text: str,
    *devices: PciDevice,
    hands: Hands | None = None,
    seed: int = 0,
    streams_pods: bool = False,
    plugins: str | None = None,
    **more: bool,
) -> AsyncIterator[Stage]:
    """Run a kubelet and the plugin; all is registered, and the kubelet has said what pods have."""
    settings = Settings(dial=1.0, seed=seed, streams_pods=streams_pods)
    async with Kubelet(str(folder), settings, plugins) as kubelet:
        stage = Stage(str(folder), text, Host(*devices), kubelet, hands, None, **more)  # type: ignore[arg-type]
        with noting_questions(stage):
            stage.plugin = start(stage)
            try:
                await stage.begun()
                yield stage
            finally:
                with suppress(AssertionError):
                    await stage.plugin.kill()
