"""Who is registered, and what the end of a connection does: in both ways that kubelets have had."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc.aio

from tests.plugin.kubelet.admission import go_text
from tests.plugin.kubelet.client import Client, DialError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.plugin.kubelet.books import Books
    from vfioctl.plugin.api.deviceplugin_pb2 import Device


class RegistrationError(Exception):
    """A registration failed; the text is what the plugin is told."""


class Registry:
    """The live registrations.

    Up to 1.36.3 a registration is known by its resource alone: a second one takes the place of the first, and
    when the *first* one ends, whoever has the name then is disconnected. Later kubelets know it by resource
    and path (kubernetes PR 135437): an older one's end disturbs nobody, and a path that is live is refused.
    """

    def __init__(self, books: Books, note: Callable[..., None], *, by_path: bool) -> None:
        """Keep these books; ``note`` is told what happens."""
        self._books = books
        self._note = note
        self._by_path = by_path
        self.clients: dict[str, Client] = {}
        """The newest registration of each resource, until it ends."""
        self.endpoints: dict[str, Client] = {}
        """The same, also after its end: its options are still asked for when a container starts."""
        self._live: dict[tuple[str, str], Client] = {}
        self._runs: set[asyncio.Task[None]] = set()

    async def connect(self, resource: str, path: str, dial_for: float, deadline: float | None) -> Client:
        """Dial back, ask for the options and begin to listen.

        Raises:
            RegistrationError: it failed; nothing is kept of it.

        """
        if self._by_path and (resource, path) in self._live:
            # The refusal was read in the tests of PR 135437; its words were not seen.
            raise RegistrationError(f"device plugin for {resource} is already registered at {path}")
        client = Client(resource, path)
        if not self._by_path:
            self.clients[resource] = client
        try:
            await client.connect(dial_for, deadline)
        except BaseException as error:
            # The one before is forgotten too, where only the name counts (s).
            if not self._by_path:
                self.clients.pop(resource, None)
            await client.close()
            if isinstance(error, DialError):
                raise RegistrationError("failed to dial device plugin: context deadline exceeded") from None
            if isinstance(error, grpc.aio.AioRpcError):
                raise RegistrationError(go_text(error)) from None
            raise
        self.clients[resource] = self.endpoints[resource] = self._live[resource, path] = client
        self._books.connect(resource)
        self._note("connected", resource, path)
        run = asyncio.create_task(self._run(client))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        return client

    async def _run(self, client: Client) -> None:
        resource = client.resource

        def receive(devices: Iterable[Device]) -> None:
            if self.endpoints.get(resource) is client:
                self._books.list_devices(resource, devices)
            self._note("listed", resource, sorted((one.ID, one.health) for one in devices))

        status = await client.run(receive)
        self._note("stream ended", resource, status)
        self._live.pop((resource, client.path), None)
        if self._by_path:
            await client.close()
            if self.clients.get(resource) is client:
                await self._disconnect(client)
        elif current := self.clients.get(resource):
            # Looked up by name: this may be another than the one that ended.
            await self._disconnect(current)
            if current is not client:
                await client.close()
        else:
            await client.close()

    async def _disconnect(self, client: Client) -> None:
        self.clients.pop(client.resource, None)
        await client.close()
        self._books.disconnect(client.resource)
        self._note("disconnected", client.resource, client.path)

    async def deregister(self, resource: str, path: str) -> None:
        """End a registration from this side, as the plugin watcher does for a socket that is gone."""
        client = self._live.get((resource, path))
        if client is not None:
            await client.close()
            await client.ended.wait()

    async def close(self) -> None:
        """Close every connection at once, without a word, as a kubelet that ends."""
        runs = list(self._runs)
        for run in runs:
            run.cancel()
        for client in {*self._live.values(), *self.clients.values()}:
            await client.close()
        for run in runs:
            with suppress(asyncio.CancelledError):
                await run
        self.clients.clear()
        self._live.clear()
