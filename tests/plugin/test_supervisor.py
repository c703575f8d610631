"""The host changes, the configuration changes, strangers connect: everybody else notices nothing."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, cast

import grpc
import grpc.aio
import pytest

from tests.bench.plugin.wire import Connection, headers
from tests.plugin.kubelet.client import dial
from tests.plugin.kubelet.kubelet import Kubelet, Settings
from tests.plugin.kubelet.pods import pod
from tests.plugin.scene import GPU, NIC, QUICK, Eyes, Table, item, offer, scene, sockets
from vfioctl.errors import UsageError
from vfioctl.plugin.api import deviceplugin_pb2 as pb
from vfioctl.plugin.api import deviceplugin_pb2_grpc as pb_grpc
from vfioctl.plugin.sockets import LONGEST_PATH, remove_stale, socket_name
from vfioctl.plugin.supervisor import Supervisor
from vfioctl.plugin.values import Denied, Grant, Offer
from vfioctl.udev.changes import RESYNC, Change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from vfioctl.plugin.api.deviceplugin_pb2_grpc import DevicePluginAsyncStub

NAME = "0000:01:00.0"
BOTH = (offer(GPU, "a", "b"), offer(NIC, "x"))


class Waiting(Eyes):
    """Eyes with a moment that the test names."""

    def __init__(self, *offers: Offer) -> None:
        """See these."""
        super().__init__(*offers)
        self.first = asyncio.Event()


def test_a_device_disappears_and_returns(place: Path) -> None:
    """Only what changed is listed again, and nobody registers for that."""

    async def run() -> None:
        async with scene(place, *BOTH) as stage:
            await stage.settled(gpu=(2, 2), nic=(1, 1))
            stage.see(offer(GPU, "a", "-b"), offer(NIC, "x"))
            await stage.settled(gpu=(2, 1))
            stage.see(*BOTH)
            await stage.settled(gpu=(2, 2))
            healths = [dict(event[2]) for event in stage.kubelet.happened("listed", GPU)]
            assert [health["b"] for health in healths] == ["Healthy", "Unhealthy", "Healthy"]
            assert len(stage.kubelet.happened("listed", NIC)) == 1
            assert len(stage.kubelet.happened("register")) == 2

    asyncio.run(run())


def test_topology_is_named_only_where_a_node_is_known(place: Path) -> None:
    """A -1 would be taken for a node that the kubelet does not know; node 0 is a node."""

    async def run() -> None:
        items = (
            item(GPU, "none"),
            item(GPU, "minus", numa=(-1,)),
            item(GPU, "zero", numa=(0,)),
            item(GPU, "two", numa=(0, 1)),
        )
        async with scene(place, Offer(GPU, items)) as stage:
            await stage.settled(gpu=(4, 4))
            assert stage.kubelet.books.resources[GPU].nodes == {"zero": (0,), "two": (0, 1)}

    asyncio.run(run())


def test_a_burst_of_changes_is_a_few_looks(place: Path) -> None:
    """Ten thousand reports do not make ten thousand looks, and the last state is what counts."""

    async def reports() -> AsyncIterator[Change]:
        for number in range(10_000):
            yield Change("change", "pci", NAME)
            if number % 100 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(3600)

    async def run() -> None:
        eyes = Eyes(*BOTH)
        plugin = Supervisor(eyes, Table(str(place)), lambda held: held, reports(), QUICK)
        running = asyncio.create_task(plugin.run())
        await asyncio.sleep(0.1)
        assert 1 <= plugin.look.count < 50
        plugin.stop()
        await running

    asyncio.run(run())


def test_a_report_of_one_device_is_a_look_at_that_device(place: Path) -> None:
    """A burst is one look at all of its places; what may be more than one device is a look at everything."""
    heard: asyncio.Queue[Change] = asyncio.Queue()

    async def reports() -> AsyncIterator[Change]:
        while True:
            yield await heard.get()

    async def run() -> None:
        eyes = Eyes(*BOTH)
        # Long enough for all of a burst to be heard, however little of the processor this gets.
        times = QUICK._replace(settle=0.1)
        plugin = Supervisor(eyes, Table(str(place)), lambda held: held, reports(), times)
        running = asyncio.create_task(plugin.run())
        for burst, expected in (
            ([], None),
            (
                [
                    Change("remove", "vfio-dev", "vfio3", f"/devices/pci0000:00/{NAME}/vfio-dev/vfio3"),
                    Change("remove", "vfio", "17", "/devices/virtual/vfio/17"),
                    Change("unbind", "pci", NAME),
                ],
                {NAME, "/dev/vfio/17"},
            ),
            ([Change("bind", "pci", NAME)], {NAME}),
            ([Change("bind", "pci", NAME), Change(RESYNC)], None),
            ([Change("add", "mdev", "some-uuid", f"/devices/pci0000:00/{NAME}/some-uuid")], None),
            ([Change("add", "pci", "what:is.this")], None),
        ):
            looks = plugin.look.count
            for one in burst:
                heard.put_nowait(one)
            async with asyncio.timeout(5):
                await plugin.changed.until(lambda: plugin.look.count > looks)  # noqa: B023 - awaited
            assert eyes.asked[-1] == expected
        assert len(eyes.asked) == 6
        plugin.stop()
        await running

    asyncio.run(run())


def test_doubt_is_settled_where_it_arose(place: Path) -> None:
    """The second look is at the same places, and not at a thousand others; nothing is forgotten meanwhile."""

    class Doubting(Table):
        def judge(self, view: Iterable[Offer]) -> tuple[tuple[Offer, ...], bool]:
            offers, _ = super().judge(view)
            return offers, self.judged in {2, 3}

    async def reports() -> AsyncIterator[Change]:
        await eyes.first.wait()
        yield Change("unbind", "pci", NAME)
        await asyncio.sleep(3600)

    async def run() -> None:
        plugin = Supervisor(eyes, Doubting(str(place)), lambda held: held, reports(), QUICK)
        running = asyncio.create_task(plugin.run())
        async with asyncio.timeout(5):
            await plugin.changed.until(lambda: plugin.look.count == 1)
            eyes.first.set()
            await plugin.changed.until(lambda: plugin.look.count == 4)
        assert eyes.asked == [None, {NAME}, {NAME}, {NAME}]
        await asyncio.sleep(3 * QUICK.doubt)
        assert plugin.look.count == 4
        plugin.stop()
        await running

    eyes = Waiting(*BOTH)
    asyncio.run(run())


@pytest.mark.parametrize("deaf", [False, True])
def test_a_large_host_is_left_alone_for_longer_while_it_is_heard(place: Path, deaf: bool) -> None:
    """A look at everything takes a small part of the time; where nothing is reported it is all there is.

    Who has nodes open is reported by nobody, and looked for as often as ever.
    """
    looked: list[frozenset[str] | None] = []

    async def reports() -> AsyncIterator[Change]:
        await asyncio.sleep(3600)
        yield Change(RESYNC)

    class Slow(Eyes):
        async def read(self, places: frozenset[str] | None = None) -> object:
            await asyncio.sleep(0.01)
            looked.append(places)
            return await super().read(places)

    async def run() -> None:
        times = QUICK._replace(resync=0.02, spare=400.0)
        heard = None if deaf else reports()
        plugin = Supervisor(Slow(*BOTH), Table(str(place)), lambda held: held, heard, times)
        running = asyncio.create_task(plugin.run())
        async with asyncio.timeout(5):
            await plugin.changed.until(lambda: plugin.look.count > 3)
        assert deaf or plugin.look.period > 3
        nothing: frozenset[str] | None = None if deaf else frozenset()
        assert looked[:3] == [None, nothing, nothing]
        plugin.stop()
        await running

    asyncio.run(run())


def test_ears_that_fail_leave_the_eyes(place: Path) -> None:
    """Without reports the host is looked at now and then."""

    async def reports() -> AsyncIterator[Change]:
        yield Change("change", "pci", NAME)
        raise OSError("no netlink here")

    async def run() -> None:
        times = QUICK._replace(resync=0.01)
        plugin = Supervisor(Eyes(*BOTH), Table(str(place)), lambda held: held, reports(), times)
        running = asyncio.create_task(plugin.run())
        async with asyncio.timeout(5):
            await plugin.changed.until(lambda: plugin.look.count > 5)
        plugin.stop()
        await running

    asyncio.run(run())


def test_a_look_that_blocks_or_fails_changes_nothing(place: Path) -> None:
    """What was published stands, allocations are answered, and the error is kept until a look succeeds."""

    async def run() -> None:
        async with scene(place, *BOTH) as stage:
            await stage.settled(gpu=(2, 2))
            stage.eyes.gate.clear()
            stage.plugin.poke()
            done = await stage.kubelet.admit(pod("p", {GPU: 2}))
            assert done.phase == "Running"
            stage.eyes.error = ValueError("odd host")
            stage.eyes.gate.set()
            await stage.kubelet.until(lambda: stage.plugin.look.error == "ValueError: odd host")
            assert stage.kubelet.books.counts(GPU) == (2, 2)
            stage.eyes.error = None
            stage.eyes.offers = (offer(GPU, "a"),)
            await stage.settled(gpu=(1, 1))
            assert stage.plugin.look.error is None

    asyncio.run(run())


def test_unknown_and_unfit_items_are_denied_in_words(place: Path) -> None:
    """An error and never an empty answer: that would leak the device."""

    async def run() -> None:
        async with scene(place, *BOTH) as stage:
            await stage.settled(gpu=(2, 2))
            (name,) = [one for one in sockets(stage.kubelet.plugins) if "gpu" in one]
            channel = dial(f"{stage.kubelet.plugins}/{name}")
            stub = cast("DevicePluginAsyncStub", pb_grpc.DevicePluginStub(channel))
            cases = {
                ("nobody",): (grpc.StatusCode.NOT_FOUND, f"{GPU} has no item nobody"),
                None: (grpc.StatusCode.INVALID_ARGUMENT, f"no container asks for {GPU}"),
            }
            for ids, expected in cases.items():
                ones = [pb.ContainerAllocateRequest(devices_ids=ids)] if ids else []
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await stub.Allocate(pb.AllocateRequest(container_requests=ones))
                assert (refused.value.code(), refused.value.details()) == expected
            await channel.close()
            # The kubelet believes it is healthy still: the plugin knows better, and the pod says why.
            stage.plugin.kept[GPU].service.offer = offer(GPU, "-a", "-b")
            late = await stage.kubelet.admit(pod("p", {GPU: 1}))
            assert "code = FailedPrecondition desc = " in (late.message or "")
            assert "is missing" in (late.message or "")

    asyncio.run(run())


def test_each_container_of_one_call_gets_its_own_answer(place: Path) -> None:
    """Kubelets ask for one container at a time; the protocol allows several, in their order."""

    async def run() -> None:
        async with scene(place, *BOTH) as stage:
            await stage.settled(gpu=(2, 2))
            (name,) = [one for one in sockets(stage.kubelet.plugins) if "gpu" in one]
            channel = dial(f"{stage.kubelet.plugins}/{name}")
            stub = cast("DevicePluginAsyncStub", pb_grpc.DevicePluginStub(channel))
            for asked in (["b", "a"], ["a"], ["a", "b"]):
                ones = [pb.ContainerAllocateRequest(devices_ids=[one]) for one in asked]
                answer = await stub.Allocate(pb.AllocateRequest(container_requests=ones))
                assert [dict(one.envs) for one in answer.container_responses] == [
                    {"IDS": one} for one in asked
                ]
            await channel.close()

    asyncio.run(run())


def test_a_desk_that_stumbles_is_an_error_of_one_call(place: Path) -> None:
    """A fault of vfioctl rejects one pod; the stream and the other resources live on."""

    class Clumsy(Table):
        def allocate(self, offered: Offer, ids: tuple[str, ...]) -> Grant | Denied:
            raise ZeroDivisionError(offered, ids)

    async def run() -> None:
        async with scene(place, *BOTH, rules=Clumsy(str(place))) as stage:
            await stage.settled(gpu=(2, 2), nic=(1, 1))
            done = await stage.kubelet.admit(pod("p", {GPU: 1}))
            assert f"code = Internal desc = vfioctl could not answer for {GPU}" in (done.message or "")
            assert {state.streams for state in stage.plugin.states().values()} == {1}

    asyncio.run(run())


def test_strangers_disturb_nobody(place: Path) -> None:
    """Garbage, connections that say nothing, and a request of five megabytes: other calls are answered."""

    async def run() -> None:
        async with scene(place, *BOTH) as stage:
            await stage.settled(gpu=(2, 2), nic=(1, 1))
            (name,) = [one for one in sockets(stage.kubelet.plugins) if "gpu" in one]
            path = f"{stage.kubelet.plugins}/{name}"
            strangers = [socket.socket(socket.AF_UNIX) for _ in range(20)]
            for number, stranger in enumerate(strangers):
                stranger.connect(path)
                # Half of the preface of HTTP/2, a whole one and nothing, or nothing sensible.
                stranger.send(
                    [b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", os.urandom(4096)][number % 3]
                )
            channel = dial(path)
            stub = cast("DevicePluginAsyncStub", pb_grpc.DevicePluginStub(channel))
            large = pb.ContainerAllocateRequest(devices_ids=["x" * 5_000_000])
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Allocate(pb.AllocateRequest(container_requests=[large]))
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            await channel.close()
            done = await stage.kubelet.admit(pod("p", {GPU: 1, NIC: 1}))
            assert done.phase == "Running", done.message
            for stranger in strangers:
                stranger.close()
            assert {state.streams for state in stage.plugin.states().values()} == {1}

    asyncio.run(run())


@pytest.mark.slow
def test_who_does_not_read_the_list_holds_up_nobody(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What it did not take is not kept for it: when it reads again, it gets the last list."""
    many = [f"device-{number:04}" for number in range(2000)]

    async def run() -> None:
        async with scene(place, offer(GPU, *many), offer(NIC, "x")) as stage:
            await stage.settled(gpu=(2000, 2000), nic=(1, 1))
            await stage.kubelet.until(lambda: stage.plugin.ready)
            (name,) = [one for one in sockets(stage.kubelet.plugins) if "gpu" in one]
            # Windows of 64 KiB, of which nothing is ever given back.
            slow = Connection(f"{stage.kubelet.plugins}/{name}", window=65535)
            slow.call(headers("ListAndWatch"), b"")
            for number in range(1, 40):
                ill = [f"-{one}" if at < number else one for at, one in enumerate(many)]
                stage.see(offer(GPU, *ill), offer(NIC, "x"))
                await stage.settled(gpu=(2000, 2000 - number))
            stage.see(offer(GPU, *many), offer(NIC, "-x"))
            await stage.settled(gpu=(2000, 2000), nic=(1, 0))
            done = await stage.kubelet.admit(pod("p", {GPU: 1}))
            assert done.phase == "Running", done.message
            slow.close()
            await stage.kubelet.until(lambda: stage.plugin.kept[GPU].service._streams == 1)
            assert not [one for one in caplog.records if one.exc_info]
            assert stage.plugin.states()[GPU].streams == stage.plugin.states()[NIC].streams == 1

    asyncio.run(run())


def test_half_a_request_holds_up_nobody(place: Path) -> None:
    """Headers, and the message never comes; half a message; a stream that is reset at once."""

    async def run() -> None:
        async with scene(place, *BOTH) as stage:
            await stage.settled(gpu=(2, 2), nic=(1, 1))
            (name,) = [one for one in sockets(stage.kubelet.plugins) if "gpu" in one]
            halves = [Connection(f"{stage.kubelet.plugins}/{name}") for _ in range(30)]
            for number, half in enumerate(halves):
                half.begin(headers("Allocate"), [b"", b"\0\0\0\0\x20half", None][number % 3])
            done = await stage.kubelet.admit(pod("p", {GPU: 1, NIC: 1}))
            assert done.phase == "Running", done.message
            for half in halves:
                half.close()
            assert {state.streams for state in stage.plugin.states().values()} == {1}

    asyncio.run(run())


def test_a_configuration_is_taken_over_whole_or_not_at_all(place: Path) -> None:
    """Resources come and go; who stays is not registered again; a bad one changes nothing."""

    async def run() -> None:
        async with scene(place, *BOTH) as stage:
            await stage.settled(gpu=(2, 2), nic=(1, 1))
            plugin, kubelet = stage.plugin, stage.kubelet
            held = plugin.rules

            def bad(_rules: object) -> Table:
                raise UsageError("plugin.toml: resource[0].name: no", hint="name it")

            plugin._load = bad
            plugin.reload()
            await kubelet.until(lambda: plugin.reload_error)
            assert plugin.rules is held
            assert kubelet.books.counts(GPU) == (2, 2)
            other = Table(str(place))
            plugin._load = lambda _rules: other
            stage.eyes.offers = (offer(GPU, "a"), offer("foo.com/usb", "u"))
            plugin.reload()
            await stage.settled(gpu=(1, 1), usb=(1, 1), nic=(1, 0))
            assert plugin.reload_error is None
            assert plugin.kept[GPU].service.desk is other
            assert plugin.states()[GPU].streams == 1
            assert len(kubelet.happened("register", GPU)) == 1
            await kubelet.until(lambda: len(sockets(kubelet.plugins)) == 2)

    asyncio.run(run())


def test_another_way_to_register_moves_every_resource(place: Path) -> None:
    """From kubelet.sock to the plugin watcher, by a reload."""

    async def run() -> None:
        async with scene(place, *BOTH) as stage:
            await stage.settled(gpu=(2, 2), nic=(1, 1))
            stage.plugin._load = lambda _rules: Table(str(place), watcher=True)
            stage.plugin.reload()
            await stage.kubelet.until(lambda: len(sockets(stage.kubelet.registry_folder)) == 2)
            await stage.kubelet.until(lambda: stage.plugin.ready)
            assert sockets(stage.kubelet.plugins) == []
            await stage.settled(gpu=(2, 2), nic=(1, 1))

    asyncio.run(run())


def test_a_changed_file_is_taken_over(place: Path) -> None:
    """As a ConfigMap is: the link is swapped, and the file behind it is another one."""

    async def run() -> None:
        for name in ("one", "two"):
            (place / name).mkdir()
            (place / name / "plugin.toml").write_text(name)
        os.symlink("one", place / "data")
        os.symlink("data/plugin.toml", place / "plugin.toml")
        file = str(place / "plugin.toml")
        async with scene(place, *BOTH, rules=Table(str(place), file=file)) as stage:
            await stage.settled(gpu=(2, 2))
            other = Table(str(place), file=file)
            stage.plugin._load = lambda _rules: other
            await asyncio.sleep(0.05)
            assert stage.plugin.rules is not other
            os.symlink("two", place / "new")
            os.rename(place / "new", place / "data")
            await stage.kubelet.until(lambda: stage.plugin.rules is other)

    asyncio.run(run())


@pytest.mark.parametrize("spare", [0, 1, 2, 9])
def test_names_of_sockets_fit_to_the_last_byte(place: Path, spare: int) -> None:
    """107 bytes are served and registered; nothing is ever cut so that two resources share a name."""
    shortest = len("vfioctl-01234567-89abcdef.sock")
    folder = place / ("d" * (LONGEST_PATH - 1 - shortest - spare - len(f"{place}//device-plugins")))

    async def run() -> None:
        os.makedirs(folder)
        async with scene(
            folder, offer(f"foo.com/{'x' * 63}", "a"), offer(f"foo.com/{'x' * 62}y", "a")
        ) as stage:
            await stage.kubelet.until(lambda: stage.plugin.ready)
            names = sockets(stage.kubelet.plugins)
            assert len(names) == len(set(names)) == 2
            longest = max(len(f"{stage.kubelet.plugins}/{name}") for name in names)
            assert longest <= LONGEST_PATH
            assert longest == LONGEST_PATH or spare > 0

    asyncio.run(run())


def test_a_folder_in_which_no_socket_fits_is_refused_at_once() -> None:
    """One byte more, and there is no name."""
    room = LONGEST_PATH - 1 - len("vfioctl-01234567-89abcdef.sock")

    assert len(socket_name("/" + "d" * (room - 1), "foo.com/x")) + 1 + room == LONGEST_PATH
    with pytest.raises(UsageError, match="no socket fits"):
        socket_name("/" + "d" * room, "foo.com/x")


def test_what_earlier_starts_left_behind_is_removed(place: Path) -> None:
    """Ours by name, and nobody listens: others' sockets and live ones stay."""
    names = [socket_name(str(place), "foo.com/x"), "other.sock", "vfioctl-notes.txt"]
    live = socket_name(str(place), "foo.com/x")
    for name in names[:2]:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(place / name))
    (place / names[2]).touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / live))
        listening.listen()

        assert remove_stale(str(place)) == (names[0],)

    assert sorted(os.listdir(place)) == sorted([*names[1:], live])


def test_a_folder_that_cannot_be_written_to_is_said(place: Path) -> None:
    """A file in its place: registering waits for ever, and the others' folder is not theirs."""

    async def run() -> None:
        async with scene(place, *BOTH, kubelet_runs=False) as stage:
            (place / "device-plugins").write_text("")
            await stage.kubelet.until(lambda: len(stage.plugin.kept) == 2)
            await asyncio.sleep(0.02)
            assert {state.phase for state in stage.plugin.states().values()} == {"waiting"}
            os.unlink(place / "device-plugins")
            await stage.kubelet.start()
            await stage.kubelet.until(lambda: stage.plugin.ready)

    asyncio.run(run())


def test_a_node_that_comes_or_goes_is_reason_to_look(place: Path) -> None:
    """Also where the whole folder comes and goes, as /dev/vfio does with its module."""

    async def run() -> None:
        door = place / "vfio"
        async with scene(place, *BOTH, doors=(str(door),)) as stage:
            await stage.settled(gpu=(2, 2))
            for change in (door.mkdir, (door / "7").touch, (door / "7").unlink, door.rmdir):
                await asyncio.sleep(0.01)
                looks = stage.plugin.look.count
                change()
                await stage.kubelet.until(lambda: stage.plugin.look.count > looks)  # noqa: B023 - awaited

    asyncio.run(run())


def test_the_end_empties_lists_only_where_that_is_asked_for(place: Path) -> None:
    """Capacity is 0 at once, and not only after the kubelet's five minutes."""

    async def run() -> None:
        async with Kubelet(str(place), Settings(dial=1.0)) as kubelet:
            patient = QUICK._replace(drain=10.0)  # on a busy machine; it waits no longer than it has to
            plugin = Supervisor(Eyes(*BOTH), Table(str(place)), lambda held: held, times=patient)
            running = asyncio.create_task(plugin.run(drain=True))
            await kubelet.until_counts(GPU, 2, 2)
            await kubelet.until_counts(NIC, 1, 1)
            plugin.stop()
            await running
            # They are sent; a busy machine lets the kubelet read them when it can.
            await kubelet.until_counts(GPU, 0, 0)
            await kubelet.until_counts(NIC, 0, 0)
            assert [len(event[2]) for event in kubelet.happened("listed", GPU)] == [2, 0]
            assert sockets(kubelet.plugins) == []

    asyncio.run(run())
