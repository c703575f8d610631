"""The kubelet itself: starts, stops, registers plugins, admits pods and starts their containers."""

from __future__ import annotations

import asyncio
import os
import posixpath
import socket
import stat
import time
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

from tests.plugin.kubelet.admission import Admission, AdmissionError, go_text
from tests.plugin.kubelet.books import Books
from tests.plugin.kubelet.names import is_extended
from tests.plugin.kubelet.places import plugins_of
from tests.plugin.kubelet.podresources import PodResources
from tests.plugin.kubelet.podstream import PodStream
from tests.plugin.kubelet.registry import RegistrationError, Registry
from tests.plugin.kubelet.watcher import Watcher
from vfioctl.plugin.api import deviceplugin_pb2 as pb
from vfioctl.plugin.api import deviceplugin_pb2_grpc as pb_grpc
from vfioctl.plugin.api import podresources_pb2_grpc, pods_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tests.plugin.kubelet.pods import Container, Pod

VERSION = "v1beta1"
DIAL = 10.0
"""Seconds that a kubelet dials a plugin; blocking, also where no socket is there at all."""
PRE_START = 30.0
CHECKPOINT = "kubelet_internal_checkpoint"


class Settings:
    """What differs between kubelets, and what a test makes shorter than it is."""

    def __init__(
        self,
        *,
        by_path: bool = False,
        list_first: bool = False,
        dial: float = DIAL,
        pre_start: float = PRE_START,
        watch_every: float = 0.02,
        look_every: float = 0.002,
        clock: Callable[[], float] = time.monotonic,
        seed: int = 0,
        streams_pods: bool = False,
    ) -> None:
        """Be like 1.36.2, unless told otherwise.

        ``by_path``: registrations are known by resource and path (after 1.36.3). ``list_first``: Register is
        answered only after the first list, as was seen to happen. ``streams_pods``: pods are streamed.
        """
        self.by_path = by_path
        self.list_first = list_first
        self.dial = dial
        self.pre_start = pre_start
        self.watch_every = watch_every
        self.look_every = look_every
        self.clock = clock
        self.streams_pods = streams_pods
        self.random = Random(seed)  # noqa: S311 - an order that can be had again


class Kubelet:
    """A kubelet below a folder that stands for /var/lib/kubelet; ``async with`` starts and stops it."""

    def __init__(self, folder: str, settings: Settings | None = None, plugins: str | None = None) -> None:
        """Keep where it lives, and plugins, if that is elsewhere; nothing is made yet."""
        self.settings = settings or Settings()
        self.plugins = plugins or plugins_of(folder)
        self.registry_folder = f"{folder}/plugins_registry"
        self.pod_resources = f"{folder}/pod-resources/kubelet.sock"
        self.pod_stream = f"{folder}/pods/kubelet.sock"
        self.socket = f"{self.plugins}/kubelet.sock"
        self.events: list[tuple[Any, ...]] = []
        self.pods: dict[str, Pod] = {}
        self.books = Books(self.settings.clock)
        self.registry = self._new_registry()
        self._servers: list[grpc.aio.Server] = []
        self._watching: asyncio.Task[None] | None = None
        self._admitting = asyncio.Lock()

    def _new_registry(self) -> Registry:
        return Registry(self.books, self.note, by_path=self.settings.by_path)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Remove every plugin's socket, load the checkpoint, and serve.

        What is registered counts 0 until its plugin is back; what pods have is known from the checkpoint.
        """
        self._prepare()
        self.registry = self._new_registry()
        lister = grpc.aio.server()
        podresources_pb2_grpc.add_PodResourcesListerServicer_to_server(
            PodResources(lambda: self.books, self.pods), lister
        )
        await self._serve(lister, self.pod_resources)
        if self.settings.streams_pods:
            stream = PodStream(self.pods)  # type: ignore[abstract] # only the stream is asked for
            streamer = grpc.aio.server()
            pods_pb2_grpc.add_PodsServicer_to_server(stream, streamer)
            await self._serve(streamer, self.pod_stream)
        registration = grpc.aio.server()
        pb_grpc.add_RegistrationServicer_to_server(_Registration(self), registration)
        await self._serve(registration, self.socket)
        watcher = Watcher(
            self.registry_folder,
            self.registry,
            period=self.settings.watch_every,
            dial_for=self.settings.dial,
        )
        self._watching = asyncio.create_task(watcher.run())
        self.note("started")

    def _prepare(self) -> None:
        sockets = [self.pod_resources]
        if self.settings.streams_pods:
            sockets.append(self.pod_stream)
        for folder in (self.plugins, self.registry_folder, *map(os.path.dirname, sockets)):
            os.makedirs(folder, exist_ok=True)
        # Sockets, and links to them, directly in the folder; all else stays, and folders below.
        for entry in os.scandir(self.plugins):
            with suppress(OSError):
                if stat.S_ISSOCK(os.stat(entry.path).st_mode):
                    os.unlink(entry.path)
        self.books = Books(self.settings.clock)
        with suppress(FileNotFoundError), open(f"{self.plugins}/{CHECKPOINT}", encoding="utf-8") as file:
            self.books.load_checkpoint(file.read())

    async def _serve(self, server: grpc.aio.Server, path: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(path)
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        self._servers.append(server)

    async def stop(self) -> None:
        """Close every connection without a word; kubelet.sock stays behind, with nobody listening."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None
        await self.registry.close()
        for server in self._servers:
            await server.stop(None)
        self._servers.clear()
        self._leave_socket()
        self.note("stopped")

    def _leave_socket(self) -> None:
        if os.path.isdir(self.plugins) and not os.path.exists(self.socket):
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(self.socket)

    async def restart(self) -> None:
        """Stop and start."""
        await self.stop()
        await self.start()

    def note(self, *event: Any) -> None:  # noqa: ANN401 - whatever happened
        """Remember what happened, and write the checkpoint when it holds something new."""
        self.events.append(event)
        if event[0] in {"listed", "allocated"}:
            with open(f"{self.plugins}/{CHECKPOINT}", "w", encoding="utf-8") as file:
                file.write(self.books.to_checkpoint())

    async def until(self, holds: Callable[[], object], within: float = 5.0) -> None:
        """Wait until something holds; what has happened is said when it does not."""
        end = time.monotonic() + within
        while not holds():
            if time.monotonic() > end:
                raise AssertionError(f"not within {within} s; last events: {self.events[-12:]}")
            await asyncio.sleep(self.settings.look_every)

    async def until_counts(self, resource: str, capacity: int, allocatable: int) -> None:
        """Wait until the node would show these numbers."""
        await self.until(lambda: self.books.counts(resource) == (capacity, allocatable))

    def happened(self, *start: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - as noted
        """Return the events that begin so."""
        return [event for event in self.events if event[: len(start)] == start]

    def announce(self, pod: Pod) -> Pod:
        """Know of a pod that is not admitted yet."""
        self.pods[pod.uid] = pod
        return pod

    async def admit(self, pod: Pod) -> Pod:
        """Admit a pod, one at a time: all of it is allocated, or it has failed for good."""
        async with self._admitting:
            self.pods[pod.uid] = pod
            # Freed lazily: at the next admission, and when somebody asks PodResources.
            self.books.release_all_but(one.uid for one in self.pods.values() if one.active)
            admission = Admission(self.books, self.registry.clients, self.settings.random)
            try:
                await admission.admit(pod)
            except AdmissionError as error:
                pod.phase, pod.reason = "Failed", "UnexpectedAdmissionError"
                pod.message = f"Pod was rejected: Allocate failed due to {error}, which is unexpected"
            else:
                pod.phase = "Running"
                self.note("allocated", pod.name)
        return pod

    async def run(self, pod: Pod) -> Pod:
        """Admit a pod and start its containers."""
        await self.admit(pod)
        if pod.active:
            for container in pod.in_order:
                await self.start_container(pod, container)
        return pod

    async def start_container(
        self, pod: Pod, container: Container
    ) -> dict[str, pb.ContainerAllocateResponse] | None:
        """Start or restart a container: what it gets is the answer of its admission, never a new one.

        PreStartContainer comes before every start, and has 30 s; when it fails the container waits, with the
        plugin's text, and the caller tries again, as a kubelet does every 15 to 30 s.
        """
        container.waiting = None
        held = self.books.bookings.get((pod.uid, container.name), {})
        for resource, booking in held.items():
            client = self.registry.endpoints.get(resource)
            if client is None or not client.options.pre_start_required:
                continue
            if client.ended.is_set():
                container.waiting = f"CreateContainerConfigError: endpoint {resource} has been stopped"
                return None
            request = pb.PreStartContainerRequest(devices_ids=sorted(booking.ids))
            try:
                await client.stub.PreStartContainer(request, timeout=self.settings.pre_start)
            except grpc.aio.AioRpcError as error:
                container.waiting = f"CreateContainerConfigError: {go_text(error)}"
                return None
        return {
            resource: pb.ContainerAllocateResponse.FromString(booking.answer)
            for resource, booking in held.items()
        }


class _Registration(pb_grpc.RegistrationServicer):
    """kubelet.sock."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet

    async def Register(  # noqa: N802 - the protocol's name
        self, request: pb.RegisterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.Empty:
        """Check, dial back and ask for the options, all before the answer; every refusal is UNKNOWN."""
        kubelet = self._kubelet
        kubelet.note("register", request.resource_name, request.endpoint)
        if request.version != VERSION:
            text = (
                f'requested API version "{request.version}" is not supported by kubelet.'
                f' Supported version is ["{VERSION}"]'
            )
            await context.abort(grpc.StatusCode.UNKNOWN, text)
        if not is_extended(request.resource_name):
            await context.abort(
                grpc.StatusCode.UNKNOWN, f'the ResourceName "{request.resource_name}" is invalid'
            )
        # Joined, so that "sub/x.sock" and "../x.sock" work and an absolute path does not.
        path = posixpath.normpath(f"{kubelet.plugins}/{request.endpoint}")
        try:
            client = await kubelet.registry.connect(
                request.resource_name, path, kubelet.settings.dial, context.time_remaining()
            )
        except RegistrationError as error:
            kubelet.note("refused", request.resource_name, str(error))
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))
        if kubelet.settings.list_first:
            await client.listed.wait()
        return pb.Empty()
