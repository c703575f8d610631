"""What a caller hands to a program of root's: environment, umask, descriptors, current folder, locale."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vfioctl.apply.kernel import Kernel, environment
from vfioctl.apply.port import Modprobe
from vfioctl.plugin.reading import Reading
from vfioctl.sysfs.archive import open_root

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPT = Path(sys.executable).with_name("vfioctl")
HOST = ("--root", "sample")


def called(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    **how: Any,  # noqa: ANN401 - as subprocess has them
) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own."""
    if not SCRIPT.exists():
        pytest.skip("vfioctl is not installed beside this interpreter")
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    return subprocess.run([SCRIPT, *arguments], env=env, text=True, check=False, **given)


@pytest.fixture(scope="module")
def usual() -> str:
    """Return what a scan of the sample host says."""
    return called(*HOST, "scan", "--json").stdout


def trap(folder: Path, name: str) -> Path:
    """Put a program into a folder that leaves a mark when it runs."""
    folder.mkdir(exist_ok=True)
    mark = folder.parent / "mark"
    (folder / name).write_text(
        f"#!/bin/sh\n/bin/ls -l /proc/$$/fd > {mark}\n/bin/cat /proc/$$/environ >> {mark}\n"
    )
    (folder / name).chmod(0o755)
    return mark


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_modprobe_of_others_on_the_path_is_not_run(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of the PATH in which others may write is passed over."""
    mark = trap(tmp_path / "bin", "modprobe")
    (tmp_path / "bin").chmod(mode)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")

    Kernel().perform(Modprobe("vfioctl-no-such-module"))

    assert str(tmp_path) not in environment()["PATH"]
    assert not mark.exists()


def test_relative_folders_and_the_current_one_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty entry is the current folder, which may be anybody's."""
    mark = trap(tmp_path / "bin", "modprobe")
    monkeypatch.chdir(tmp_path / "bin")
    monkeypatch.setenv("PATH", ":.:../bin:/usr/bin")

    Kernel().perform(Modprobe("vfioctl-no-such-module"))

    assert environment()["PATH"] == "/usr/bin:/usr/sbin:/sbin"
    assert not mark.exists()


def test_a_program_of_root_s_gets_a_path_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what is set for the dynamic linker, for modprobe, for Python; nor a descriptor of the caller's."""
    mark = trap(tmp_path / "bin", "modprobe")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    for name in ("LD_LIBRARY_PATH", "MODPROBE_OPTIONS", "PYTHONPATH", "SUDO_COMMAND", "GCONV_PATH"):
        monkeypatch.setenv(name, "/nowhere")
    descriptor = os.open("/dev/zero", os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        Kernel().perform(Modprobe("x"))
    finally:
        os.close(descriptor)

    seen = mark.read_text()
    assert "/dev/zero" not in seen
    assert "/nowhere" not in seen
    assert set(environment()) == {"PATH", "LC_ALL"}


def test_modules_of_the_current_folder_are_not_imported(tmp_path: Path, usual: str) -> None:
    """Root may stand in a folder of a user's."""
    for name in ("json", "click", "shlex", "vfioctl", "encodings", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n")

    ended = called(*HOST, "scan", "--json", cwd=tmp_path)

    assert ended.stdout == usual
    assert not (tmp_path / "mark").exists()


def test_a_current_folder_that_is_gone_is_no_trouble(tmp_path: Path, usual: str) -> None:
    """It was removed, or is on a disk that is gone."""
    gone = tmp_path / "gone"
    gone.mkdir()

    ended = called(*HOST, "scan", "--json", cwd=gone, preexec_fn=lambda: os.rmdir(gone))

    assert ended.stdout == usual


@pytest.mark.parametrize(
    "environment_",
    [
        {},
        {
            "PATH": "/usr/bin:/bin",
            "SUDO_UID": "1000",
            "SUDO_COMMAND": "x\x1b[2J",
            "HOME": "/nonexistent",
            "TERM": "x",
        },
        {"LC_ALL": "xx_YY.garbage", "LANG": "\udcff", "LANGUAGE": "../../etc"},
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"TZ": "../../../etc/shadow", "COLUMNS": "-1", "LINES": "x", "NO_COLOR": "", "TERM": "\x1b"},
        {f"V{number}": "x" * 100_000 for number in range(15)},
    ],
    ids=["none", "sudo", "garbage", "ascii", "odd", "huge"],
)
def test_the_environment_changes_nothing_that_is_said(environment_: dict[str, str], usual: str) -> None:
    """Locale, time zone, terminal, and a megabyte of whatever it may be."""
    ended = called(*HOST, "scan", "--json", env=environment_)

    assert (ended.returncode, ended.stdout) == (0, usual)


@pytest.mark.parametrize("closed", [one for one in product((0, 1), repeat=3) if any(one)], ids=str)
def test_closed_streams_never_become_files(closed: tuple[int, ...], tmp_path: Path) -> None:
    """The next file opened would be the standard stream, and what is said would go into it."""
    path, numbers = tmp_path / "host.txt", [number for number, shut in enumerate(closed) if shut]

    def close() -> None:
        for number in numbers:
            os.close(number)

    # Descriptors of these streams are closed after subprocess has placed them.
    ended = called(*HOST, "-v", "snapshot", "save", str(path), stdin=subprocess.DEVNULL, preexec_fn=close)

    assert ended.returncode == 0
    assert "saved" not in path.read_text()
    with open_root(str(path)) as root:
        assert os.path.isdir(f"{root.base}/sys/bus/pci/devices")


def test_an_umask_of_nothing_leaves_a_snapshot_private(tmp_path: Path) -> None:
    """It may hold serial numbers, and what only root can read."""
    for name in ("host.txt", "host.tar.gz", "host"):
        assert called(*HOST, "snapshot", "save", f"{tmp_path}/{name}", umask=0).returncode == 0
        assert not stat.S_IMODE((tmp_path / name).stat().st_mode) & 0o077


def test_what_is_unpacked_is_private_and_somewhere_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a TMPDIR that everybody may write to, under a name that nobody could know."""
    saved = tmp_path / "host.txt"
    called(*HOST, "snapshot", "save", str(saved))
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setenv("TMPDIR", str(shared))

    with open_root(str(saved)) as one, open_root(str(saved)) as other:
        assert one.base != other.base
        assert Path(one.base).parent == shared
        assert stat.S_IMODE(os.stat(one.base).st_mode) == 0o700
    assert list(shared.iterdir()) == []


def test_a_tmpdir_that_is_not_there_is_no_trouble() -> None:
    """Another place is taken, or the error says what to set."""
    assert called(*HOST, "scan", env={**os.environ, "TMPDIR": "/nonexistent"}).returncode == 0


def test_the_interpreters_of_the_plugin_are_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment nor the current folder says what root's helpers import."""

    async def read() -> object:
        reading = Reading(_isolated)
        try:
            return await reading.read()
        finally:
            reading.close()
            while reading._reap():  # noqa: ASYNC110 - the kernel sets no event
                await asyncio.sleep(0.01)

    monkeypatch.setenv("PYTHONPATH", "/nowhere")

    assert asyncio.run(read()) == 1


def _isolated(*_: object) -> int:
    return sys.flags.isolated
