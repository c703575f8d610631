"""The kubelet for tests does what running kubelets were seen to do."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, cast

import grpc
import grpc.aio
import pytest

from tests.plugin.kubelet.books import GRACE
from tests.plugin.kubelet.kubelet import CHECKPOINT, Kubelet, Settings
from tests.plugin.kubelet.names import is_extended
from tests.plugin.kubelet.pods import pod
from tests.plugin.kubelet.scripted import Scripted, register
from vfioctl.plugin.api import deviceplugin_pb2 as pb
from vfioctl.plugin.api import podresources_pb2 as resources_pb
from vfioctl.plugin.api import podresources_pb2_grpc as resources_grpc

if TYPE_CHECKING:
    from pathlib import Path

    from vfioctl.plugin.api.podresources_pb2_grpc import PodResourcesListerAsyncStub

R = "foo.com/gpu"
TWO = {"d0": "Healthy", "d1": "Healthy"}
PREFER = pb.DevicePluginOptions(get_preferred_allocation_available=True)
START = pb.DevicePluginOptions(pre_start_required=True)


async def registered(kubelet: Kubelet, plugin: Scripted, name: str = "a.sock") -> Scripted:
    """Serve a plugin, register it, and wait for its list."""
    await plugin.serve(f"{kubelet.plugins}/{name}")
    before = len(kubelet.happened("listed", plugin.resource))
    assert await register(kubelet.socket, plugin.resource, name) == ""
    await kubelet.until(lambda: len(kubelet.happened("listed", plugin.resource)) > before)
    return plugin


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("foo.com/X_y.z-1", True),
        (f"foo.com/{'x' * 63}", True),
        (f"{'.'.join(['a' * 60] * 4)}/x", True),
        (f"{'.'.join(['a' * 60] * 4)}.bbb/x", False),
        ("nodomain", False),
        ("kubernetes.io/x", False),
        ("foo.kubernetes.io/x", False),
        ("requests.foo.com/x", False),
        ("foo.com/x y", False),
        ("Foo.com/x", False),
        ("foo_bar.com/x", False),
        ("foo.com/a/b", False),
        ("foo.com/x_", False),
        (f"foo.com/{'x' * 64}", False),
    ],
)
def test_names_are_taken_and_refused_as_seen(name: str, taken: bool) -> None:
    """kubelet-measured, resource names: 244 characters before the slash, since ``requests.`` comes before."""
    assert is_extended(name) is taken


def test_registration_checks_in_order_and_dials_back_inside_the_call(place: Path) -> None:
    """Version, name, dial, options; each refusal is UNKNOWN with the text that was seen."""

    async def run() -> None:
        async with Kubelet(str(place), Settings(dial=0.05)) as kubelet:
            say = kubelet.socket
            assert await register(say, R, "a.sock", version="v1") == (
                'UNKNOWN requested API version "v1" is not supported by kubelet.'
                ' Supported version is ["v1beta1"]'
            )
            assert await register(say, "x", "a.sock") == 'UNKNOWN the ResourceName "x" is invalid'
            dead = "UNKNOWN failed to dial device plugin: context deadline exceeded"
            assert await register(say, R, "a.sock") == dead
            assert await register(say, R, f"{kubelet.plugins}/a.sock") == dead
            plugin = Scripted(R, TWO)
            os.mkdir(f"{kubelet.plugins}/sub")
            await plugin.serve(f"{kubelet.plugins}/sub/a.sock")
            assert await register(say, R, "sub/a.sock") == ""
            # Asked before Register was answered, whatever Register said of options.
            assert plugin.calls == [("options", [])]
            await kubelet.until_counts(R, 2, 2)
            await plugin.stop()

    asyncio.run(run())


def test_the_list_may_come_before_the_answer(place: Path) -> None:
    """ListAndWatch was seen to arrive before the Register response."""

    async def run() -> None:
        async with Kubelet(str(place), Settings(list_first=True)) as kubelet:
            plugin = Scripted(R, TWO)
            await plugin.serve(f"{kubelet.plugins}/a.sock")
            assert await register(kubelet.socket, R, "a.sock") == ""
            assert kubelet.books.counts(R) == (2, 2)
            await plugin.stop()

    asyncio.run(run())


def test_only_the_exact_word_is_healthy_and_every_list_replaces(place: Path) -> None:
    """Capacity counts all, allocatable the healthy ones."""

    async def run() -> None:
        async with Kubelet(str(place)) as kubelet:
            odd = {"a": "Healthy", "b": "healthy", "c": "Degraded", "": "Healthy"}
            plugin = await registered(kubelet, Scripted(R, odd))
            assert kubelet.books.counts(R) == (4, 2)
            plugin.publish({"z": "Healthy"})
            await kubelet.until_counts(R, 1, 1)
            await plugin.stop()

    asyncio.run(run())


def test_a_dead_plugin_keeps_capacity_for_five_minutes(place: Path) -> None:
    """Allocatable is 0 at once; the resource is dropped after endpointStopGracePeriod."""
    now = [1000.0]

    async def run() -> None:
        async with Kubelet(str(place), Settings(clock=lambda: now[0])) as kubelet:
            plugin = await registered(kubelet, Scripted(R, TWO))
            await plugin.stop()
            await kubelet.until_counts(R, 2, 0)
            now[0] += GRACE
            assert kubelet.books.counts(R) == (2, 0)
            now[0] += 1
            assert kubelet.books.counts(R) == (0, 0)

    asyncio.run(run())


@pytest.mark.parametrize("by_path", [False, True])
def test_the_end_of_an_older_registration(place: Path, by_path: bool) -> None:
    """It takes the newer one down up to 1.36.3 (upstream 127803), and leaves it alone afterwards."""

    async def run() -> None:
        async with Kubelet(str(place), Settings(by_path=by_path)) as kubelet:
            old = await registered(kubelet, Scripted(R, TWO), "old.sock")
            new = await registered(kubelet, Scripted(R, {"n": "Healthy"}), "new.sock")
            assert kubelet.books.counts(R) == (1, 1)
            await old.stop()
            if by_path:
                await kubelet.until(lambda: kubelet.happened("stream ended", R))
                assert kubelet.books.counts(R) == (1, 1)
                assert await register(kubelet.socket, R, "new.sock") != ""
            else:
                await kubelet.until_counts(R, 1, 0)
                await kubelet.until(lambda: len(kubelet.happened("stream ended", R)) == 2)
            await new.stop()

    asyncio.run(run())


def test_a_restart_removes_sockets_and_remembers_bookings(place: Path) -> None:
    """On its start every socket directly in the folder goes; files, folders and the checkpoint stay."""

    async def run() -> None:
        async with Kubelet(str(place)) as kubelet:
            plugin = await registered(kubelet, Scripted(R, TWO))
            one = await kubelet.run(pod("one", {R: 1}))
            os.mkdir(f"{kubelet.plugins}/sub")
            for name in ("x.sock", "sub/y.sock"):
                with socket.socket(socket.AF_UNIX) as made:
                    made.bind(f"{kubelet.plugins}/{name}")
            await kubelet.stop()
            assert sorted(os.listdir(kubelet.plugins)) == [
                "a.sock", "kubelet.sock", CHECKPOINT, "sub", "x.sock"
            ]  # fmt: skip
            await kubelet.start()
            assert sorted(os.listdir(kubelet.plugins)) == ["kubelet.sock", CHECKPOINT, "sub"]
            assert os.listdir(f"{kubelet.plugins}/sub") == ["y.sock"]
            assert kubelet.books.counts(R) == (0, 0)
            calls = list(plugin.calls)
            # A container that starts again gets what was answered once, plugin or no plugin.
            grant = await kubelet.start_container(one, one.containers[0])
            assert grant is not None
            assert dict(grant[R].envs)["IDS"] in TWO
            assert plugin.calls == calls
            # A new pod is rejected for good meanwhile.
            two = await kubelet.admit(pod("two", {R: 1}))
            assert two.message == (
                "Pod was rejected: Allocate failed due to no healthy devices present;"
                f" cannot allocate unhealthy devices {R}, which is unexpected"
            )
            await plugin.stop()

    asyncio.run(run())


def test_resources_of_a_container_come_in_any_order(place: Path) -> None:
    """Limits are a Go map; ids within a call are in no order either."""

    async def run() -> None:
        orders, ids = set(), set()
        async with Kubelet(str(place)) as kubelet:
            many = {f"d{number}": "Healthy" for number in range(3)}
            plugins = [
                await registered(kubelet, Scripted(f"foo.com/{name}", many), f"{name}.sock") for name in "ab"
            ]
            log: list[str] = []
            for plugin in plugins:
                plugin.calls = _Tee(log, plugin.resource)
            for number in range(12):
                log.clear()
                done = await kubelet.admit(pod(f"p{number}", {"foo.com/a": 3, "foo.com/b": 3}))
                orders.add(tuple(log))
                ids.add(tuple(plugins[0].calls[-1][1]))
                done.phase = "Succeeded"
            for plugin in plugins:
                await plugin.stop()
        assert orders == {("foo.com/a", "foo.com/b"), ("foo.com/b", "foo.com/a")}
        assert len(ids) > 1

    asyncio.run(run())


class _Tee(list[tuple[str, list[str]]]):
    """A list of calls that also notes whose they are."""

    def __init__(self, log: list[str], resource: str) -> None:
        super().__init__()
        self._log = log
        self._resource = resource

    def append(self, call: tuple[str, list[str]]) -> None:
        self._log.append(self._resource)
        super().append(call)


def test_init_containers_share_their_devices_with_the_rest(place: Path) -> None:
    """The same ids are allocated twice: Allocate must be idempotent."""

    async def run() -> None:
        async with Kubelet(str(place)) as kubelet:
            plugin = await registered(kubelet, Scripted(R, TWO))
            await kubelet.admit(pod("p", {R: 1}, init_first={R: 1}))
            asked = [ids for call, ids in plugin.calls if call == "allocate"]
            assert len(asked) == 2
            assert asked[0] == asked[1]
            await plugin.stop()

    asyncio.run(run())


def test_refusals_empty_answers_and_second_answers(place: Path) -> None:
    """The plugin's words reach the pod; a missing answer leaks its device; only the first answer counts."""

    async def run() -> None:
        async with Kubelet(str(place)) as kubelet:
            plugin = await registered(kubelet, Scripted(R, TWO))
            plugin.error = (grpc.StatusCode.FAILED_PRECONDITION, "group 7 is in use")
            refused = await kubelet.admit(pod("refused", {R: 2}))
            assert (refused.phase, refused.reason) == ("Failed", "UnexpectedAdmissionError")
            assert refused.message == (
                "Pod was rejected: Allocate failed due to rpc error: code = FailedPrecondition"
                " desc = group 7 is in use, which is unexpected"
            )
            assert kubelet.books.free(R) == {"d0", "d1"}
            plugin.error, plugin.answer = None, pb.AllocateResponse()
            empty = await kubelet.admit(pod("empty", {R: 1}))
            assert "no containers return in allocation response" in (empty.message or "")
            assert len(kubelet.books.free(R)) == 1
            plugin.answer = pb.AllocateResponse(
                container_responses=[pb.ContainerAllocateResponse(envs={"N": number}) for number in "12"]
            )
            first = await kubelet.admit(pod("first", {R: 1}))
            grant = await kubelet.start_container(first, first.containers[0])
            assert grant is not None
            assert dict(grant[R].envs) == {"N": "1"}
            more = await kubelet.admit(pod("more", {R: 1}))
            assert "Requested: 1, Available: 0" in (more.message or "")
            await plugin.stop()

    asyncio.run(run())


def test_a_preference_is_asked_for_only_where_there_is_a_choice(place: Path) -> None:
    """Unknown ids of an answer are passed over and the rest is filled up."""

    async def run() -> None:
        async with Kubelet(str(place)) as kubelet:
            three = {**TWO, "d2": "Healthy"}
            plugin = await registered(kubelet, Scripted(R, three, options=PREFER))
            plugin.preferred = ["d2", "nobody"]
            taken = await kubelet.admit(pod("p", {R: 2}))
            booked = kubelet.books.bookings[taken.uid, "main"][R].ids
            assert "d2" in booked
            assert len(booked) == 2
            await kubelet.admit(pod("q", {R: 1}))
            assert [call for call, _ in plugin.calls] == ["options", "prefer", "allocate", "allocate"]
            await plugin.stop()

    asyncio.run(run())


def test_every_start_of_a_container_is_announced(place: Path) -> None:
    """PreStartContainer comes before every start, restarts too; its error makes the container wait."""

    async def run() -> None:
        async with Kubelet(str(place), Settings(pre_start=0.2)) as kubelet:
            plugin = await registered(kubelet, Scripted(R, TWO, options=START))
            one = await kubelet.run(pod("p", {R: 1}))
            main = one.containers[0]
            plugin.error = (grpc.StatusCode.INTERNAL, "reset failed")
            assert await kubelet.start_container(one, main) is None
            assert main.waiting == (
                "CreateContainerConfigError: rpc error: code = Internal desc = reset failed"
            )
            plugin.error = None
            assert await kubelet.start_container(one, main) is not None
            assert [call for call, _ in plugin.calls].count("start") == 3
            assert [call for call, _ in plugin.calls].count("allocate") == 1
            await plugin.stop()
            await kubelet.until_counts(R, 2, 0)
            assert await kubelet.start_container(one, main) is None
            assert "has been stopped" in (main.waiting or "")

    asyncio.run(run())


def test_pod_resources_follow_pods_and_free_when_asked(place: Path) -> None:
    """Active pods only, one entry for each device; an ended pod's device is free after the question."""

    async def run() -> None:
        async with Kubelet(str(place)) as kubelet:
            plugin = await registered(kubelet, Scripted(R, TWO))
            one = await kubelet.run(pod("one", {R: 2}))
            async with grpc.aio.insecure_channel(f"unix:{kubelet.pod_resources}") as channel:
                lister = cast("PodResourcesListerAsyncStub", resources_grpc.PodResourcesListerStub(channel))
                (listed,) = (await lister.List(resources_pb.ListPodResourcesRequest())).pod_resources
                entries = listed.containers[0].devices
                assert sorted(list(entry.device_ids) for entry in entries) == [["d0"], ["d1"]]
                one.phase = "Succeeded"
                assert kubelet.books.free(R) == set()
                assert not (await lister.List(resources_pb.ListPodResourcesRequest())).pod_resources
                assert kubelet.books.free(R) == {"d0", "d1"}
                unknown = resources_pb.GetPodResourcesRequest(pod_name="x", pod_namespace="y")
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await lister.Get(unknown)
                assert refused.value.code() is grpc.StatusCode.UNKNOWN
                answer = await lister.GetAllocatableResources(resources_pb.AllocatableResourcesRequest())
                assert len(answer.devices) == 2
            await plugin.stop()

    asyncio.run(run())


def test_the_watcher_registers_again_after_a_restart_but_not_after_a_stream(place: Path) -> None:
    """GetInfo, options, list, status, in this order; removing the socket deregisters."""

    async def run() -> None:
        async with Kubelet(str(place), Settings(watch_every=0.005)) as kubelet:
            plugin = Scripted(R, TWO)
            path = f"{kubelet.registry_folder}/r.sock"
            await plugin.serve(path, endpoint="")
            await kubelet.until(lambda: ("status", ["True", ""]) in plugin.calls)
            await kubelet.until_counts(R, 2, 2)
            assert [call for call, _ in plugin.calls] == ["info", "options", "status"]
            await kubelet.restart()
            await kubelet.until_counts(R, 2, 2)
            # Only the stream ends: nobody comes back for it.
            await kubelet.registry.clients[R].close()
            await kubelet.until_counts(R, 2, 0)
            await asyncio.sleep(0.05)
            assert kubelet.books.counts(R) == (2, 0)
            await plugin.stop()

    asyncio.run(run())


def test_the_watcher_says_why_it_does_not_register(place: Path) -> None:
    """A wrong type is answered through NotifyRegistrationStatus, and tried again later and later."""

    async def run() -> None:
        async with Kubelet(str(place), Settings(watch_every=0.005)) as kubelet:
            plugin = Scripted(R, TWO)
            await plugin.serve(f"{kubelet.registry_folder}/r.sock", endpoint="", type_name="Other")
            told = ("status", ["False", "no handler registered for plugin type: Other"])
            await kubelet.until(lambda: plugin.calls.count(told) >= 2)
            assert kubelet.books.counts(R) == (0, 0)
            await plugin.stop()

    asyncio.run(run())


def test_a_list_of_more_than_four_mebibytes_ends_the_stream(place: Path) -> None:
    """grpc-go's default of 4,194,304 bytes: RESOURCE_EXHAUSTED, and the devices are gone."""

    async def run() -> None:
        async with Kubelet(str(place)) as kubelet:
            plugin = await registered(kubelet, Scripted(R, TWO))
            plugin.publish({f"{number:060d}": "Healthy" for number in range(60_000)})
            await kubelet.until(lambda: kubelet.happened("stream ended", R))
            assert kubelet.happened("stream ended", R)[0][2] is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert kubelet.books.counts(R) == (2, 0)
            await plugin.stop()

    asyncio.run(run())
