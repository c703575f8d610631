"""Minding the ledger: asking the kubelet, looking for open nodes, and releasing what has ended.

All of it only while there is something to mind; a plugin of which nobody has anything asks nobody.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

from vfioctl.errors import VfioctlError
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.backoff import Backoff
from vfioctl.plugin.claims import next_question
from vfioctl.plugin.farewells import Farewells, follow_up, looks, until_ended
from vfioctl.plugin.kubelet import KubeletError, identity, list_pods, pod_changes
from vfioctl.plugin.troubles import Source, Troubles
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Protocol

    from vfioctl.plugin.claims import Claim, Ledger
    from vfioctl.plugin.keeper import Keeper
    from vfioctl.plugin.kubelet import Identity
    from vfioctl.sysfs.openers import Opener

    class Plugin(Protocol):
        """What publishes."""

        @property
        def kubelet_dir(self) -> str:
            """The kubelet's root directory, as configured now."""

        def arbitrate(self) -> float | None:
            """Publish what follows from the ledger; return when time alone changes that."""

        async def until_seen(self) -> None:
            """Wait until the host was looked at: before, nobody knows what is ours."""


log = logging.getLogger("vfioctl.plugin")


_NEVER = -1e9


class Rhythm(NamedTuple):
    """How often to ask at most, and how to wait for a stream of pods; in seconds."""

    least: float = 0.1
    """Between two questions, however many pods change."""
    first: float = 0.5
    last: float = 30.0
    gather: float = 0.02
    """From a change of the ledger to what follows from it: pods of many containers come at once, and what was
    just given away is refused to others without any list."""


class Minder:
    """Keeps the ledger true while the plugin serves."""

    def __init__(
        self,
        keeper: Keeper,
        plugin: Plugin,
        look: Callable[[], Awaitable[tuple[Opener, ...]]],
        clean: Callable[[Claim], Awaitable[None]],
        rhythm: Rhythm | None = None,
        until: Callable[[float], Awaitable[None]] | None = None,
        ended: Callable[[int], Awaitable[None]] = until_ended,
    ) -> None:
        """Mind this ledger; ``look`` finds open nodes, ``clean`` does what is to be done on a release.

        ``until`` waits for a time on the keeper's clock, ``ended`` for the end of a process.
        """
        self.keeper = keeper
        self.questions = 0
        self.troubles = Troubles(keeper.clock)
        """Why it is not known what pods have, or who has nodes open."""
        self._plugin = plugin
        self._look = look
        self._clean = clean
        self._rhythm = rhythm or Rhythm()
        self._until = until or self._sleep_until
        self._asked = _NEVER
        self._kubelet: Identity | None = None
        self._poked, self._woken = asyncio.Event(), asyncio.Event()
        self._farewells = Farewells(self._farewell, ended)
        self._ended: float | None = None
        """When a process that had a group open was heard to have ended."""
        self._releasing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Mind it until cancelled; a release that is under way is left to the next plugin."""
        await self._plugin.until_seen()
        tasks = [asyncio.create_task(one) for one in (self._publish(), self._ask(), self._listen())]
        try:
            await asyncio.gather(*tasks)
        finally:
            self._farewells.close()
            for task in (*tasks, *self._releasing):
                task.cancel()
            await asyncio.wait([*tasks, *self._releasing])

    async def _publish(self) -> None:
        """Publish after every change of the ledger, and when time changes what follows from it."""
        while True:
            ledger = self.keeper.ledger
            self._farewells.watch(ledger.openers)
            again = self._plugin.arbitrate()
            await self._wait(ledger, again)
            await asyncio.sleep(self._rhythm.gather)

    async def _sleep_until(self, when: float) -> None:
        await asyncio.sleep(max(when - self.keeper.clock(), 0.0))

    async def _wait(self, ledger: Ledger, when: float | None, *events: Awaitable[object]) -> None:
        """Wait until the ledger is another one, a time has come, or something happens."""
        waits = [self.keeper.changed.until(lambda: self.keeper.ledger is not ledger), *events]
        if when is not None:
            waits.append(self._until(when))
        tasks = [asyncio.ensure_future(one) for one in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _ask(self) -> None:
        """Ask as often as there is reason to, and at once when a pod changed or a process ended."""
        while True:
            due = self._due()
            if due is None or due > self.keeper.clock():
                await self._wait(self.keeper.ledger, due, self._poked.wait(), self._woken.wait())
                # When to ask follows from all claims, and what changes one of them is no haste by itself.
                heard = self._poked.is_set() or self._woken.is_set()
                await asyncio.sleep(self._rhythm.gather if heard else self._rhythm.least)
                self._woken.clear()
                if self._poked.is_set():
                    self._poked.clear()
                    self._asked = _NEVER if self.keeper.ledger.claims else self._asked
                continue
            await self.question()
            await asyncio.sleep(self._rhythm.least)

    def _due(self) -> float | None:
        ledger = self.keeper.ledger
        reasons = (next_question(ledger, self._asked), follow_up(ledger, self._ended, self._asked))
        return min((when for when in reasons if when is not None), default=None)

    def _farewell(self) -> None:
        self._ended = self.keeper.clock()
        self._woken.set()

    async def question(self) -> None:
        """Ask the kubelet, look for open nodes, and begin the releases that follow."""
        self._asked = self.keeper.clock()
        self.questions += 1
        await self._see_pods()
        if looks(self.keeper.ledger, self._ended, self._asked):
            await self._see_openers()
        for claim in self.keeper.due():
            if self.keeper.ledger.claim(claim.key) is claim:
                self._begin_release(claim)
            # Hundreds may end at once: calls are answered in between, and may claim what is due anew.
            await asyncio.sleep(0)

    async def _see_openers(self) -> None:
        asked = self.keeper.clock()
        try:
            self.keeper.opened(await self._look(), asked)
        except VfioctlError as error:
            self.troubles.failed(Source.OPEN_NODES, error.message)
        else:
            self.troubles.succeeded(Source.OPEN_NODES)

    async def _see_pods(self) -> None:
        folder = self._plugin.kubelet_dir
        now = identity(folder)
        if self._kubelet is not None and now != self._kubelet and now is not None:
            self.keeper.returned()
        self._kubelet = now or self._kubelet
        asked = self.keeper.clock()
        try:
            listed = await list_pods(folder)
        except KubeletError as error:
            self.troubles.failed(Source.PODS, str(error))
            return
        self.troubles.succeeded(Source.PODS)
        for _ in self.keeper.observing(listed, asked):
            await asyncio.sleep(0)

    def _begin_release(self, claim: Claim) -> None:
        task = asyncio.create_task(self._release(self.keeper.change(claim, cleaning=True)))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def _release(self, claim: Claim) -> None:
        try:
            await self._clean(claim)
        except Exception:
            log.exception("%s of %s: what is to be done on release failed", claim.id, claim.resource)
        self.keeper.end(claim)

    async def _listen(self) -> None:
        """Hear of pods as they change, where the kubelet tells."""
        backoff = Backoff(self._rhythm.first, self._rhythm.last)
        while True:
            began = monotonic()
            async for living in pod_changes(self._plugin.kubelet_dir):
                self.keeper.told(living)
                self._poked.set()
            self.keeper.told(())
            if monotonic() - began > self._rhythm.last:
                backoff.reset()
            await asyncio.sleep(backoff.next())
