"""Being registered, for ever: register, notice that a kubelet is gone or another one there, register again.

The order for one resource is always the same, since up to 1.36.3 the end of an older registration takes a
newer one down (kubelet-measured): end the old stream and stop the old server, serve on a new socket,
register, and wait for the stream. There are never two live registrations of one resource.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from time import monotonic

import grpc
import grpc.aio

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.api import deviceplugin_pb2 as pb
from vfioctl.plugin.api import deviceplugin_pb2_grpc as pb_grpc
from vfioctl.plugin.backoff import Backoff
from vfioctl.plugin.bell import Bell
from vfioctl.plugin.counts import FAILED, REGISTERED, Counts
from vfioctl.plugin.server import VERSION, ResourceServer, ServingError
from vfioctl.plugin.sockets import answers, socket_name
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from vfioctl.plugin.service import Service
    from vfioctl.plugin.watching import FolderWatch, Seen

log = logging.getLogger("vfioctl.plugin")

DEADLINE = 15.0
"""Seconds for Register: the kubelet dials back inside it, and takes 10 s to find that it cannot."""
STREAM_WAIT = 15.0
"""Seconds from the answer of Register to the stream; kubelets open it at once, or before they answer."""
STEADY = 10.0
"""Seconds after which a stream counts as good, and its end as the first failure."""
APART = 0.2
"""Seconds between the end of a stream that this side ended and the next registration with the same kubelet.

An older kubelet that had not yet noticed the end would take the new registration down with it.
"""


class State(NamedTuple):
    """How the registration of one resource stands."""

    phase: str = "waiting"
    """``waiting`` (no kubelet), ``registering``, ``up`` or ``failed`` (the next attempt is due)."""
    streams: int = 0
    """How many streams there have been."""
    error: str | None = None
    """Why the last attempt failed; None once one was good."""


class Pace(NamedTuple):
    """The times that a registration keeps, in seconds."""

    deadline: float = DEADLINE
    stream_wait: float = STREAM_WAIT
    steady: float = STEADY
    apart: float = APART
    first: float = 0.5
    last: float = 30.0


class _Lost(NamedTuple):
    """Why a registration ended, and whether the same kubelet might still hold it."""

    why: str
    same_kubelet: bool = False
    lived: float = 0.0


class Registration:
    """Keeps one resource registered, in the way of ``kubelet.sock`` or of the plugin watcher."""

    def __init__(
        self,
        service: Service,
        watch: FolderWatch,
        *,
        watcher: bool = False,
        pace: Pace | None = None,
        counts: Counts | None = None,
    ) -> None:
        """Register in the folder that is watched, and count how that ends."""
        self._service = service
        self._watch = watch
        self._watcher = watcher
        self._pace = pace or Pace()
        self._backoff = Backoff(self._pace.first, self._pace.last)
        self._counts = counts or Counts()
        self.state = State()
        self.changed = Bell()

    @property
    def up(self) -> bool:
        """Whether a kubelet has the list open."""
        return self.state.phase == "up"

    async def run(self) -> None:
        """Register, and register again whenever that is needed; ends only by being cancelled."""
        while True:
            await self._watch.until(self._possible)
            seen = self._watch.seen
            try:
                lost = await self._hold(seen)
            except ServingError as error:
                lost = self._fail(str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, it stays with this resource
                lost = self._fail(f"{type(error).__name__}: {error}")
            await self._pause(lost, seen)

    def _possible(self, seen: Seen) -> bool:
        return seen.folder is not None and (self._watcher or seen.kubelet is not None)

    async def _hold(self, seen: Seen) -> _Lost:
        """Serve, register and stay until it is lost; whatever happens, nothing is served afterwards."""
        if not self._watcher and not answers(f"{self._watch.folder}/kubelet.sock"):
            # It was left behind by a kubelet that stopped: not worth a server.
            return self._fail("nobody answers on kubelet.sock")
        name = socket_name(self._watch.folder, self._service.resource)
        server = ResourceServer(self._service, f"{self._watch.folder}/{name}")
        if self._watcher:
            server.announce(self._service.resource, self._told)
        self._show(phase="registering")
        try:
            await server.start()
            self._watch.refresh()
            return await self._live(name, seen)
        finally:
            await _unhurried(server.stop())

    async def _live(self, name: str, before: Seen) -> _Lost:
        gone = asyncio.ensure_future(self._watch.until(lambda seen: bool(_loss(name, before, seen))))
        try:
            if not self._watcher:
                error = await _first(self._register(name), gone)
                if error is not None:
                    return self._fail(error)
            if not gone.done():
                wait = None if self._watcher else self._pace.stream_wait
                with suppress(TimeoutError):
                    await _first(asyncio.wait_for(self._service.until_listening(), wait), gone)
            began = monotonic()
            if self._service.listening:
                self._up()
                await _first(self._service.until_silent(), gone)
            elif not gone.done():
                return self._fail("the kubelet took the registration and never asked for the list")
            loss = _loss(name, before, self._watch.seen)
            same = self._service.listening and self._watch.seen.kubelet == before.kubelet
            return _Lost(loss or "the kubelet ended the list's stream", same, monotonic() - began)
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    async def _register(self, name: str) -> str | None:
        """Register, and return what the kubelet has against it."""
        # A pool of its own: a connection to a kubelet that is gone must not be tried again by gRPC itself.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(
            f"unix:{self._watch.folder}/kubelet.sock", options=options
        ) as channel:
            # The same class serves both kinds of channels; its types say only one.
            ask: Any = pb_grpc.RegistrationStub(channel).Register
            request = pb.RegisterRequest(
                version=VERSION,
                endpoint=name,
                resource_name=self._service.resource,
                options=self._service.options(),
            )
            try:
                await ask(request, timeout=self._pace.deadline)
            except grpc.aio.AioRpcError as error:
                return f"{error.details() or 'no reason given'} ({error.code().name})"
        return None

    def _told(self, refusal: str | None) -> None:
        """Hear from the plugin watcher; it tries again by itself."""
        if refusal is not None:
            self._fail(refusal)

    def _up(self) -> None:
        self._counts.registered(self._service.resource, REGISTERED)
        self._show(phase="up", streams=self.state.streams + 1, error=None)
        log.info("%s: registered, %d items", self._service.resource, len(self._service.offer.items))

    def _fail(self, why: str) -> _Lost:
        # Said once: the same again, every half minute for a week, helps nobody.
        if why != self.state.error:
            log.warning("%s: not registered: %s", self._service.resource, why)
        self._counts.registered(self._service.resource, FAILED)
        self._show(phase="failed", error=why)
        return _Lost(why)

    def _show(self, **changes: Any) -> None:  # noqa: ANN401 - the fields of a state
        self.state = self.state._replace(**changes)
        self.changed.ring()
        if not self.up:
            self._watch.hurry()

    async def _pause(self, lost: _Lost, before: Seen) -> None:
        """Wait before the next attempt; a new kubelet is not made to wait."""
        if self.up:
            log.warning("%s: registration lost: %s", self._service.resource, lost.why)
            self._show(phase="waiting")
            if lost.lived >= self._pace.steady:
                self._backoff.reset()
                pause = self._pace.apart
            else:
                pause = self._backoff.next() if not _another(before, self._watch.seen) else 0.0
            if lost.same_kubelet:
                pause = self._pace.apart
        else:
            pause = self._backoff.next()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._watch.until(lambda seen: _another(before, seen)), pause)
        if _another(before, self._watch.seen):
            self._backoff.reset()


def _another(before: Seen, now: Seen) -> bool:
    """Tell whether there is another kubelet than before, or another folder."""
    return (before.folder, before.kubelet) != (now.folder, now.kubelet)


def _loss(name: str, before: Seen, now: Seen) -> str | None:
    """Say what became of a registration's place, or return None."""
    if now.folder != before.folder:
        return "the kubelet's folder is gone or was replaced"
    if now.kubelet != before.kubelet:
        return "there is another kubelet.sock"
    if name not in now.names:
        return "its socket was removed"
    return None


async def _first(one: Coroutine[Any, Any, Any], other: asyncio.Future[None]) -> Any:  # noqa: ANN401 - what the one returns
    """Await one thing until it or the other is done; nothing of it goes on afterwards."""
    task = asyncio.ensure_future(one)
    both: set[asyncio.Future[Any]] = {task, other}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _unhurried(stop: Coroutine[Any, Any, None]) -> None:
    """Finish stopping even when cancelled meanwhile: a server that lives on would keep its stream."""
    task = asyncio.ensure_future(stop)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
