"""The admin socket: what it answers, who may ask, and that nobody who asks disturbs anybody."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.kubelet.pods import pod
from tests.plugin.scene import GPU, NIC, Scene, Table, offer, scene
from vfioctl.errors import NotFoundError, NotPermittedError, UsageError, VfioctlError
from vfioctl.plugin.admin import MOST_AT_ONCE, Admin, private_socket
from vfioctl.plugin.asking import NotRunningError, ask
from vfioctl.plugin.attendants import attended
from vfioctl.plugin.cordons import load_cordons, save_cordons
from vfioctl.plugin.protocol import LARGEST_REQUEST, Request
from vfioctl.plugin.steering import Steering

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from vfioctl.plugin.values import Item


BOTH = (offer(GPU, "a", "-b"), offer(NIC, "x"))


class Office:
    """A plugin that runs, and its admin socket."""

    def __init__(self, stage: Scene, path: str) -> None:
        """Ask at this path."""
        self.stage = stage
        self.path = path

    async def ask(self, command: str, subject: str = "") -> dict[str, Any]:
        """Ask as the commands do."""
        return await asyncio.to_thread(ask, Request(command, subject), self.path, 10.0)

    async def say(self, line: bytes) -> bytes:
        """Send bytes, and return all that comes back."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            writer.write(line)
            return await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()

    async def until_let_in(self) -> None:
        """Ask until there are not too many who do."""
        line = b'{"version": 1, "command": "status"}\n'
        async with asyncio.timeout(10):
            while "result" not in json.loads(await self.say(line) or "{}"):
                pass


@asynccontextmanager
async def office(place: Path, *, patience: float = 5.0, **parts: Any) -> AsyncIterator[Office]:  # noqa: ANN401 - of the scene
    """Run a plugin with two resources and its admin socket, until it can be asked."""
    path = str(place / "run" / "plugin.sock")
    told = parts.pop("told", ())
    async with scene(place, *BOTH, **parts) as stage:
        steering = Steering(stage.plugin, str(place / "run" / "cordons.json"), told)
        async with attended(admin=Admin(steering, path, patience).run()):
            await stage.kubelet.until(lambda: stage.plugin.ready and os.path.exists(path))
            yield Office(stage, path)


def test_status_tells_how_all_stands(place: Path) -> None:
    """Resources, items with their reasons, allocations, the configuration; and what others know of items."""

    def owner(item: Item) -> Mapping[str, object]:
        return {"state": "allocated", "owner": f"pod-of-{item.id}"}

    async def run() -> None:
        async with office(place, told=[owner]) as one:
            await one.stage.settled(gpu=(2, 1))
            await one.stage.kubelet.admit(pod("p", {GPU: 1}))
            told = await one.ask("status")
            assert told["ready"] is True
            assert told["summary"] == "2 of 2 resources registered, 3 items, 2 healthy"
            assert told["config"] == {"file": None, "error": None}
            gpu, nic = told["resources"]
            assert (gpu["name"], gpu["registered"], gpu["allocations"]) == (GPU, True, {"granted": 1})
            assert nic["allocations"] == {}
            assert [(item["id"], item["reason"], item["owner"]) for item in gpu["items"]] == [
                ("a", None, "pod-of-a"),
                ("b", "missing", "pod-of-b"),
            ]

    asyncio.run(run())


def test_what_is_cordoned_is_unhealthy_until_uncordoned(place: Path) -> None:
    """The answer comes when the kubelet's list is made; the file has it; a reload keeps it."""

    async def run() -> None:
        async with office(place) as one:
            file = str(place / "run" / "cordons.json")
            told = await one.ask("cordon", "a")
            assert (told["changed"], told["items"]) == (True, [{"resource": GPU, "id": "a"}])
            assert load_cordons(file) == {"a"}
            assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
            await one.stage.settled(gpu=(2, 0))
            assert (await one.ask("cordon", "a"))["changed"] is False
            assert (await one.ask("status"))["cordoned"] == ["a"]
            # What is cordoned can be uncordoned also when it is gone.
            one.stage.see(offer(NIC, "x"))
            assert (await one.ask("uncordon", "a"))["changed"] is True
            one.stage.see(*BOTH)
            await one.stage.settled(gpu=(2, 1))
            assert load_cordons(file) == frozenset()

    asyncio.run(run())


def test_what_cannot_be_kept_is_not_cordoned(place: Path) -> None:
    """Else it would be back in service after a restart, and nobody would know."""

    async def run() -> None:
        async with office(place) as one:
            (place / "run" / "cordons.json.new").mkdir()
            with pytest.raises(NotPermittedError, match=r"cordons.json could not be written: Is a directory"):
                await one.ask("cordon", "a")
            assert one.stage.plugin.rules.cordoned == frozenset()

    asyncio.run(run())


def test_resync_waits_for_a_look_that_began_afterwards(place: Path) -> None:
    """A look under way may have passed what is asked about already."""

    async def run() -> None:
        async with office(place) as one:
            one.stage.eyes.gate.clear()
            one.stage.plugin.poke()
            await one.stage.kubelet.until(lambda: one.stage.plugin.look.under_way)
            before = one.stage.plugin.look.count
            asking = asyncio.create_task(one.ask("resync"))
            one.stage.eyes.gate.set()
            assert (await asking)["summary"].startswith("2 of 2 resources")
            assert one.stage.plugin.look.count == before + 2
            one.stage.eyes.error = ValueError("odd host")
            with pytest.raises(VfioctlError, match="could not be looked at: ValueError: odd host"):
                await one.ask("resync")

    asyncio.run(run())


def test_explain_asks_the_one_that_runs(place: Path) -> None:
    """It knows what it serves."""

    async def run() -> None:
        async with office(place, rules=Table(str(place), file="plugin.toml")) as one:
            told = await one.ask("explain", "x")
            assert told["config"] == "plugin.toml"
            assert told["answers"] == [{"resource": NIC, "verdict": "offered", "item": "x", "why": []}]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (b'{"version": 1, "command": "cordon", "subject": "nobody"}', "not-found", "there is no nobody"),
        (b'{"version": 2, "command": "status"}', "usage", "speaks version 1 of its protocol, and not 2"),
        (b'{"version": 1, "command": "obey"}', "usage", "no such request: 'obey'"),
        (b'{"version": 1, "command": ["status"]}', "usage", "no such request: ['status']"),
        (b'{"version": 1, "command": "cordon"}', "usage", "cordon is about a device"),
        (b'{"version": 1, "command": "status", "subject": "a"}', "usage", "status is about a device"),
        (b'{"version": 1, "command": "status", "subject": 7}', "usage", "no such request"),
        (b"[1]", "usage", "that is no JSON object on one line"),
        (b"[" * 4000, "usage", "that is no JSON object on one line"),
        (b"\xff\x00\x1b", "usage", "that is no JSON object on one line"),
        (b"", "usage", "that is no JSON object on one line"),
        (b"x" * (LARGEST_REQUEST + 10), "usage", "that is no JSON object on one line"),
    ],
)
def test_nonsense_is_answered_in_words(place: Path, line: bytes, code: str, words: str) -> None:
    """And the next request as if nothing had been."""

    async def run() -> None:
        async with office(place) as one:
            error = json.loads(await one.say(line + b"\n"))["error"]
            assert error["code"] == code
            assert words in error["message"]
            assert error["hint"]
            assert (await one.ask("status"))["ready"] is True

    asyncio.run(run())


def test_strangers_disturb_nobody(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Those that say nothing, half of something, or never take their answer, are let go after their time."""

    async def run() -> None:
        async with office(place, patience=0.2) as one:
            await one.stage.settled(nic=(1, 1))
            strangers = [socket.socket(socket.AF_UNIX) for _ in range(MOST_AT_ONCE)]
            for number, stranger in enumerate(strangers):
                stranger.connect(one.path)
                stranger.send(
                    [b"", b'{"version": 1', b'{"version": 1, "command": "status"}\n'][number % 3] or b" "
                )
            done = await one.stage.kubelet.admit(pod("p", {NIC: 1}))
            assert done.phase == "Running", done.message
            async with asyncio.timeout(10):
                while "error" in (
                    told := json.loads(await one.say(b'{"version": 1, "command": "status"}\n'))
                ):
                    assert told["error"]["message"] == "too many ask at once"
            for stranger in strangers:
                stranger.close()

    asyncio.run(run())
    assert "Traceback" not in caplog.text


def test_a_fault_of_ours_is_an_error_of_one_request(place: Path) -> None:
    """The socket lives on."""

    class Clumsy(Table):
        def known(self, subject: str) -> str | None:
            raise ZeroDivisionError(subject)

    async def run() -> None:
        async with office(place, rules=Clumsy(str(place))) as one:
            with pytest.raises(VfioctlError, match="the plugin could not answer"):
                await one.ask("cordon", "a")
            assert (await one.ask("status"))["ready"] is True

    asyncio.run(run())


def test_only_its_user_may_connect(place: Path) -> None:
    """The file is 0600 from its first moment, whatever the umask; one left behind is replaced."""
    path = str(place / "plugin.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)

    with private_socket(path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_folder_that_others_may_write_to_is_refused(place: Path) -> None:
    """They could put a socket of their own there, and be asked; so could whoever may move a link."""
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    os.symlink(place, place / "link")

    for folder in ("open", "link"):
        with pytest.raises(UsageError, match="no folder that only root may write to"):
            private_socket(str(place / folder / "plugin.sock"))


def test_somebody_elses_socket_is_left_alone(place: Path) -> None:
    """Whoever answers there keeps it."""
    path = str(place / "plugin.sock")
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(path)
        theirs.listen()

        with pytest.raises(UsageError, match="another program answers there"):
            private_socket(path)

    assert os.path.exists(path)


def test_a_socket_that_cannot_be_made_leaves_the_plugin_serving(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and devices are served."""

    async def run() -> None:
        async with scene(place, *BOTH) as stage:
            (place / "file").write_text("")
            steering = Steering(stage.plugin, str(place / "cordons.json"))
            await Admin(steering, str(place / "file" / "plugin.sock")).run()
            await stage.kubelet.until(lambda: stage.plugin.ready)

    asyncio.run(run())
    assert "plugin status and its like will find nobody" in caplog.text


def test_nobody_there_is_an_error_of_its_own(place: Path) -> None:
    """Exit code 3, and how to start one; also where a socket was left behind."""
    path = str(place / "plugin.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)

    for asked in (path, str(place / "none")):
        with pytest.raises(NotRunningError, match="no serve-plugin runs on this host") as raised:
            ask(Request("status"), asked)
        assert isinstance(raised.value, NotFoundError)
        assert "systemctl start vfioctl-plugin" in raised.value.hint


@pytest.mark.parametrize("said", [b"", b"garbage\n", b'{"version": 1, "result": 7}\n', b"\x1b[31m"])
def test_an_answer_that_is_none_is_an_error(place: Path, said: bytes) -> None:
    """Whatever listens there may be anything."""

    async def run() -> None:
        async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(said)
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_unix_server(talk, str(place / "s"))
        with pytest.raises(VfioctlError):
            await asyncio.to_thread(ask, Request("status"), str(place / "s"), 5.0)
        server.close()

    asyncio.run(run())


def test_one_that_never_answers_is_given_up(place: Path) -> None:
    """After its time, and not before it was asked."""
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(place / "s"))
        deaf.listen()

        with pytest.raises(VfioctlError, match=r"did not answer within 0.01 s"):
            ask(Request("status"), str(place / "s"), 0.01)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cordoned": 7}', '{"cordoned": {"a": 1}', "\x00"])
def test_a_file_of_cordons_that_cannot_be_used_is_said(
    place: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not overwritten before the next cordon."""
    file = place / "cordons.json"
    file.write_text(text)

    assert load_cordons(str(file)) == frozenset()
    assert "cannot be used, so nothing is cordoned" in caplog.text
    assert file.read_text() == text


def test_cordons_are_kept_whole(place: Path) -> None:
    """In order, so that the file can be compared."""
    file = place / "cordons.json"

    save_cordons(str(file), {"b", "a"})

    assert json.loads(file.read_text()) == {"schema": 1, "cordoned": ["a", "b"]}
    assert load_cordons(str(file)) == {"a", "b"}
