"""Publish what looks at the host found, by the rules of the moment; and own what lives.

What fails, fails alone: a resource that cannot be registered, a look that blocks, a configuration that is
wrong each leave everything else as it was.
"""

from __future__ import annotations

import asyncio
import logging
import os
from time import monotonic

from vfioctl.errors import VfioctlError
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.bell import Bell
from vfioctl.plugin.counts import Counts
from vfioctl.plugin.event import offered
from vfioctl.plugin.looking import Looking
from vfioctl.plugin.registration import Pace
from vfioctl.plugin.roster import Place, Roster, end
from vfioctl.plugin.troubles import Troubles
from vfioctl.plugin.watching import PERIOD, beat
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from typing import Any, Protocol

    from vfioctl.plugin.explain import Answer
    from vfioctl.plugin.looking import Eyes
    from vfioctl.plugin.news import Report
    from vfioctl.plugin.registration import State
    from vfioctl.plugin.roster import Kept
    from vfioctl.plugin.service import Desk
    from vfioctl.plugin.values import Offer

    class Rules(Desk, Protocol):
        """Everything that is decided under one configuration."""

        cordoned: frozenset[str]
        """What an administrator took out of service."""

        @property
        def kubelet_dir(self) -> str:
            """The kubelet's root directory."""

        @property
        def sockets_dir(self) -> str:
            """Where the plugin's sockets have to be."""

        @property
        def watcher(self) -> bool:
            """Whether registration is left to the plugin watcher."""

        @property
        def file(self) -> str | None:
            """The configuration's file, which may change."""

        @property
        def again(self) -> float | None:
            """When owners alone change what is to be published."""

        @property
        def listen(self) -> str:
            """Where metrics and health are served; empty: nowhere."""

        def known(self, subject: str) -> str | None:
            """Return the full name of a thing on the host, or None."""

        def explain(self, subject: str) -> tuple[Answer, ...]:
            """Say of each resource what it makes of a thing on the host."""

        def judge(self, view: Any) -> tuple[tuple[Offer, ...], bool]:  # noqa: ANN401 - as looked
            """Return what to publish as far as the hardware goes, and whether to look again soon."""

        def arbitrate(self, offers: Sequence[Offer]) -> tuple[Offer, ...]:
            """Return what to publish of it, given who owns what."""


log = logging.getLogger("vfioctl.plugin")


class Times(NamedTuple):
    """How often, and how long; in seconds."""

    resync: float = 30.0
    """Between two looks at everything, at least; and between two looks at who has nodes open, at most."""
    spare: float = 1000.0
    """How many times as long as a look at everything took to wait for the next, while changes are reported:
    a thousandth of a processor is what it may cost to find nothing new, as many functions as there are."""
    longest: float = 600.0
    """Between two looks at everything, at most."""
    settle: float = 0.01
    """From the first report to the look: a device that goes is a dozen events."""
    doubt: float = 0.5
    """To the second look, which lets a soft reason count."""
    retry: float = 5.0
    """To the next look after one that failed."""
    reload: float = 1.0
    """Between two looks at the configuration's file."""
    farewell: float = 1.5
    """Within which all servers are stopped."""
    drain: float = 0.4
    """Within which kubelets are told that nothing is offered any more, where that is asked for."""
    watch: float = PERIOD
    pace: Pace = Pace()


class Supervisor:
    """Everything that lives while the plugin serves."""

    def __init__(
        self,
        eyes: Eyes,
        rules: Rules,
        load: Callable[[Rules], Rules],
        changes: AsyncIterator[Report] | None = None,
        times: Times | None = None,
        *,
        doors: Sequence[str] = (),
        counts: Counts | None = None,
    ) -> None:
        """Serve by these rules; ``load`` reads the configuration again, given the rules that hold.

        Whatever is made or removed in the folders ``doors`` is reason to look at the host. What happens is
        counted in ``counts``.

        Raises:
            UsageError: no socket's path would fit below the kubelet's folder.

        """
        self.rules = rules
        self.counts = counts or Counts()
        self.troubles = Troubles()
        """What whoever minds the ledger does not learn."""
        self.changed = Bell()
        """Rung when something was published, registered or reloaded."""
        self.began = monotonic()
        """When all began, on the monotonic clock."""
        self.reloads = 0
        """How many times the configuration was read again, well or not."""
        self.reload_error: str | None = None
        """Why the configuration's file is not the one in force."""
        self._load = load
        self.times = times or Times()
        self.look = Looking(eyes, self, self.times, self.counts, changes, doors)
        self._stopping = asyncio.Event()
        self._reloading = False
        self._offers: Sequence[Offer] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._roster = Roster(_place(rules).check(), self.counts, self.times)

    @property
    def kept(self) -> Mapping[str, Kept]:
        """The resources that are served."""
        return self._roster.kept

    def poke(self) -> None:
        """Have the whole host looked at soon."""
        self.look.poke()

    def stop(self) -> None:
        """End: `run` returns as soon as all is closed."""
        self._stopping.set()

    def reload(self) -> None:
        """Have the configuration read again."""
        self._reloading = True
        self.poke()

    def states(self) -> dict[str, State]:
        """Return how the registration of each resource stands."""
        return {name: kept.registration.state for name, kept in self.kept.items()}

    @property
    def kubelet_there(self) -> bool:
        """Whether there is somebody to register with, as far as the folder tells."""
        seen = self._roster.watch.seen
        return seen.folder is not None and (self.rules.watcher or seen.kubelet is not None)

    @property
    def ready(self) -> bool:
        """Whether the host was seen, and every resource has its stream."""
        return self.look.last is not None and self._roster.all_up

    async def run(self, *, drain: bool = False) -> None:
        """Serve until `stop`; then streams are closed and sockets removed.

        With ``drain`` lists are emptied before that. Else they are not: it would drop the node's capacity at
        once, where a plugin that comes back within five minutes drops nothing.
        """
        self._roster.begin()
        self._tasks = [asyncio.create_task(one) for one in (*self.look.work(), self._mind_file())]
        try:
            await self._stopping.wait()
        finally:
            await self._close(drain=drain)

    async def _close(self, *, drain: bool) -> None:
        if drain:
            await end(self._tasks, self.times.drain)
            await self._roster.empty(self.times.drain)
        await self._roster.close([task for task in self._tasks if not task.done()])

    async def consider(self) -> None:
        """Read the configuration again, if that was asked for."""
        if self._reloading:
            self._reloading = False
            await self._reload()

    async def judge(self, view: object) -> tuple[Sequence[Offer], bool]:
        """Return what to publish after a look, and whether to look again soon."""
        # Judging a large host takes a while, and calls are answered meanwhile.
        return await asyncio.to_thread(self.rules.judge, view)

    async def publish(self, offers: Sequence[Offer]) -> None:
        """Serve what is offered, and nothing else."""
        wanted = {offer.resource for offer in offers}
        await self._roster.drop(self.kept.keys() - wanted)
        self._offers = offers
        self.arbitrate()

    def arbitrate(self) -> float | None:
        """Publish what owners change, without looking at the host; return when that may change by itself."""
        for offer in self.rules.arbitrate(self._offers):
            kept = self.kept.get(offer.resource)
            before = kept.service.offer if kept else None
            if before is offer:
                continue  # as nearly all of hundreds are
            if kept is None:
                self._roster.start(offer, self.rules)
            elif not kept.service.publish(offer):
                continue
            news = offered(before, offer)
            log.log(logging.WARNING if news.facts["reasons"] else logging.INFO, news)
        self.changed.ring()
        return self.rules.again

    async def until_seen(self) -> None:
        """Wait until the host was looked at."""
        await self.changed.until(lambda: self.look.last is not None)

    @property
    def kubelet_dir(self) -> str:
        """The kubelet's root directory, as configured now."""
        return self.rules.kubelet_dir

    async def _reload(self) -> None:
        """Read the configuration, and take it over whole or not at all."""
        try:
            rules = await asyncio.to_thread(self._load, self.rules)
            place = _place(rules).check()
        except VfioctlError as error:
            self.reload_error = error.message
            self.reloads += 1
            log.error("the configuration was not taken over: %s; %s", error.message, error.hint)  # noqa: TRY400 - its words are enough
            self.changed.ring()
            return
        # The kubelet asks for the options only when a resource is registered.
        other = {name for name in self.kept if rules.starts(name) != self.rules.starts(name)}
        self.rules = rules
        self.reload_error = None
        if place != self._roster.place:
            await self._roster.move(place)
        await self._roster.drop(other & self.kept.keys())
        for kept in self.kept.values():
            kept.service.desk = rules
        self.reloads += 1
        log.info("the configuration was taken over")
        self.changed.ring()

    async def _mind_file(self) -> None:
        """Reload when the configuration's file is another one, and was so twice: it may be half written."""
        known = before = _fingerprint(self.rules.file)
        while True:
            await beat(self.times.reload)
            now = _fingerprint(self.rules.file)
            if now == before and now != known:
                known = now
                self.reload()
            before = now


def _place(rules: Rules) -> Place:
    return Place(rules.sockets_dir.rstrip("/"), rules.watcher)


def _fingerprint(file: str | None) -> tuple[int, ...] | None:
    """Tell one content of a file from another; a ConfigMap's is behind a link that is swapped."""
    try:
        status = os.stat(file) if file is not None else None  # noqa: PTH116 - once a second
    except OSError:
        return None
    return status and (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
