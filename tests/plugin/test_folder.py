"""The kubelet's folder cannot be served in: that is said in words, and it is tried again."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugin.scene import GPU, NIC, Table, offer
from vfioctl.plugin.server import ResourceServer, ServingError
from vfioctl.plugin.service import Service
from vfioctl.plugin.sockets import LONGEST_PATH, is_socket

NOBODY = 65534


def refusal(path: str) -> str:
    """Try to serve on a path, and return why that is not possible."""

    async def run() -> str:
        server = ResourceServer(Service(offer(GPU, "a"), Table("/")), path)
        with pytest.raises(ServingError) as refused:
            await server.start()
        await server.stop()
        return str(refused.value)

    return asyncio.run(run())


def test_a_folder_that_is_not_there(place: Path) -> None:
    """It went away between the look at it and the socket."""
    path = f"{place}/gone/vfioctl-x.sock"

    assert refusal(path) == f"cannot serve on {path}: {place}/gone: No such file or directory"


def test_a_folder_that_another_user_may_not_write_to(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere, so it is another user who tries, from within: the way there is for root."""
    folder = place / "theirs"
    folder.mkdir(mode=0o555)
    monkeypatch.chdir(folder)
    was = os.geteuid()
    try:
        if was == 0:
            os.seteuid(NOBODY)
        said = refusal("./x.sock")
    finally:
        os.seteuid(was)

    assert said == "cannot serve on ./x.sock: .: Permission denied"
    assert os.listdir(folder) == []


@pytest.mark.parametrize("longer", [0, 1])
def test_the_last_byte_of_a_path(place: Path, longer: int) -> None:
    """107 are served; the 108th is refused, in gRPC's words, and nothing is left behind."""
    name = "x" * (LONGEST_PATH + longer - len(str(place)) - 1)
    path = f"{place}/{name}"

    async def run() -> None:
        server = ResourceServer(Service(offer(NIC, "a"), Table("/")), path)
        try:
            await server.start()
            assert is_socket(path)
        finally:
            await server.stop()

    if longer:
        assert refusal(path).startswith(f"cannot serve on {path}: ")
    else:
        asyncio.run(run())
    assert os.listdir(place) == []


@pytest.mark.slow
def test_a_full_disk(place: Path) -> None:
    """It is said, and registered as soon as there is room."""
    script = 'mount -t tmpfs -o size=1m,nr_inodes=24 none "$0" && exec "$@"'
    unshare = ["unshare", "--mount", "--map-root-user"]
    command = [*unshare, "sh", "-c", script, str(place), sys.executable, "-m", "tests.plugin.small_disk"]
    probe = [*unshare, "mount", "-t", "tmpfs", "none", str(place)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here: this user may not make mount namespaces")

    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*command, str(place)], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    error, ready = done.stdout.splitlines()
    assert error.startswith(f"cannot serve on {place}/device-plugins/vfioctl-")
    assert error.endswith(": No space left on device")
    assert ready == "ready"
