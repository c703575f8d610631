"""Sockets: who may connect, who may take their place."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.plugin.kubelet.kubelet import Kubelet, Settings
from tests.plugin.kubelet.places import told
from vfioctl.errors import NotPermittedError, UsageError
from vfioctl.plugin.admin import private_socket
from vfioctl.plugin.asking import ask
from vfioctl.plugin.protocol import Request
from vfioctl.plugin.sockets import remove_stale, socket_name

if TYPE_CHECKING:
    from pathlib import Path

    from tests.in_process import Program

NOBODY = 65534
RESOURCE = "foo.com/null"


def test_a_link_in_the_place_of_the_admin_socket_is_not_followed(place: Path) -> None:
    """Nothing is made where it points to."""
    os.symlink(place / "elsewhere", place / "plugin.sock")

    with pytest.raises(OSError, match="in use"):
        private_socket(str(place / "plugin.sock"))
    assert not (place / "elsewhere").exists()


def test_a_file_in_the_place_of_the_admin_socket_stays(place: Path) -> None:
    """Only a socket on which nobody answers is removed."""
    (place / "plugin.sock").write_text("somebody's")

    with pytest.raises(OSError, match="in use"):
        private_socket(str(place / "plugin.sock"))
    assert (place / "plugin.sock").read_text() == "somebody's"


def test_whoever_listens_there_already_is_not_pushed_aside(place: Path) -> None:
    """Nor taken for a stale one."""
    path = str(place / "plugin.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()

        with pytest.raises(UsageError, match="another program answers"):
            private_socket(path)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_a_folder_in_which_others_could_take_its_place_is_refused(mode: int, place: Path) -> None:
    """Who answers there is believed by root's `vfioctl plugin`."""
    (place / "run").mkdir()
    (place / "run").chmod(mode)

    with pytest.raises(UsageError, match="only root may write"):
        private_socket(str(place / "run" / "plugin.sock"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_may_not_ask(place: Path) -> None:
    """The kernel refuses; he is told so in words."""
    place.chmod(0o755)
    path = str(place / "plugin.sock")
    with private_socket(path) as listening:
        listening.listen()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            try:
                ask(Request("status"), path, 1.0)
            except NotPermittedError as error:
                os.write(writer, error.message.encode())
            except BaseException as error:  # noqa: BLE001 - told to the parent
                os.write(writer, repr(error).encode())
            os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        said = os.read(reader, 1000).decode()
        os.close(reader)

    # The way there may be shut already, which is the same word.
    assert said == f"{path} is for root alone"


@pytest.mark.parametrize(
    "words", [["status"], ["status", "--json"], ["cordon", "x"], ["resync"]], ids=" ".join
)
@pytest.mark.parametrize(
    "result",
    [
        {},
        {"resources": 5, "summary": ["\x1b[2J"]},
        {"resources": [{"name": "\x1b[2J", "items": [{}]}], "cordoned": [], "summary": "\x1b[2J"},
        {"subject": "\x1b[2J", "cordoned": True, "changed": True, "items": [], "summary": "\x1b[2J"},
        {"kind": "other", "schema": "x"},
    ],
    ids=str,
)
def test_whatever_is_answered_steers_no_terminal(
    result: dict[str, object], words: list[str], place: Path, runner: Program
) -> None:
    """Somebody else may answer, where a variable names another socket; so may a plugin of another release."""
    path = str(place / "other.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        answering = threading.Thread(target=_answer, args=(listening, result))
        answering.start()
        ended = runner("plugin", *words, env={"VFIOCTL_PLUGIN_SOCKET": path})
        answering.join()

    assert all(letter.isprintable() or letter == "\n" for letter in ended.out + ended.err)
    assert "fault of vfioctl" not in ended.err
    assert ended.code in {0, 1}


def _answer(listening: socket.socket, result: dict[str, object]) -> None:
    channel, _ = listening.accept()
    with channel:
        channel.recv(4096)
        channel.sendall(json.dumps({"version": 1, "result": result}).encode() + b"\n")


def test_sockets_that_look_like_ours_and_are_links_or_files_stay(place: Path) -> None:
    """What is removed at a start is a socket, ours by name, with nobody behind it."""
    name = socket_name(str(place), RESOURCE)
    os.symlink("/dev/null", place / name)
    (place / socket_name(str(place), RESOURCE)).write_text("x")

    assert remove_stale(str(place)) == ()
    assert len(list(place.iterdir())) == 2


@pytest.mark.slow
def test_every_socket_is_root_s_alone_whatever_the_umask(place: Path) -> None:
    """The admin's and each resource's, of the program itself, started with an umask of nothing."""
    (place / "plugin.toml").write_text(
        f'{told(place)}[[resource]]\nname = "{RESOURCE}"\nkind = "node"\npaths = ["/dev/null"]\n'
    )
    place.chmod(0o755)

    async def modes() -> dict[str, int]:
        async with Kubelet(str(place), Settings(dial=2.0)) as kubelet:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "vfioctl", "serve-plugin", "--config", str(place / "plugin.toml")),
                env={
                    **os.environ,
                    "VFIOCTL_PLUGIN_LOCK": str(place / "lock"),
                    "VFIOCTL_PLUGIN_SOCKET": str(place / "plugin.sock"),
                    "PYTHONPATH": os.pathsep.join(sys.path),
                },
                stderr=asyncio.subprocess.DEVNULL,
                umask=0,
            )
            try:
                await kubelet.until(lambda: kubelet.books.counts(RESOURCE) == (1, 1), within=60.0)
                await kubelet.until((place / "plugin.sock").exists, within=60.0)
                return {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.rglob("*")}  # noqa: ASYNC240 - a few files
            finally:
                process.terminate()
                await process.communicate()

    found = asyncio.run(modes())

    ours = {
        name: mode for name, mode in found.items() if name.startswith("vfioctl-") or name == "plugin.sock"
    }
    assert len(ours) == 2
    assert not any(mode & 0o077 for mode in ours.values()), ours
    assert found["lock"] == 0o600
