"""Programs that run as root: only root's own, in a clean environment, and not for ever."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from tests.plugin.factory import config
from vfioctl.errors import UsageError
from vfioctl.plugin.programs import run
from vfioctl.plugin.trust import distrusted, doubts, problem, refuse_unsafe

ME = os.getuid()


def script(folder: Path, text: str = "exit 0", mode: int = 0o755) -> str:
    """Make a program."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("mode", "why"),
    [(0o755, None), (0o644, "no program"), (0o775, "by others"), (0o757, "by others"), (0o4755, None)],
)
def test_who_may_write_a_program_would_be_root(tmp_path: Path, mode: int, why: str | None) -> None:
    """Its mode, and whether it is a program at all."""
    found = problem(script(tmp_path, mode=mode), ME)
    assert found is None if why is None else why in (found or "")


def test_whoever_may_write_the_folder_may_replace_the_program(tmp_path: Path) -> None:
    """Unless the folder is sticky; and a link is followed to what it leads to."""
    folder = tmp_path / "open"
    folder.mkdir()
    path = script(folder)
    folder.chmod(0o777)
    assert f"{folder} can be written" in (problem(path, ME) or "")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert "can be written" in (problem(str(link), ME) or "")
    folder.chmod(0o1777)
    assert problem(path, ME) is None


def test_lint_has_a_remark_for_each_reason(tmp_path: Path) -> None:
    """One for each, and for each a way out; what is in order is not remarked on."""
    folder = tmp_path / "open"
    folder.mkdir()
    fine, bad = script(tmp_path), script(folder, mode=0o666)
    folder.chmod(0o777)
    written = f'select = ["class:gpu"]\non_release = ["reset", "{bad}", "{tmp_path}/none", "{fine}"]'

    found = list(distrusted(config(written), ME))

    assert [remark.check for remark in found] == [
        "program-not-executable",
        "program-writable",
        "program-folder",
        "program-missing",
    ]
    assert f"{folder} can be written by others than root" in found[2].message
    assert all(remark.hint and remark.resource == "vfioctl.io/r0" for remark in found)


def test_a_path_that_is_not_absolute_is_an_error_of_the_configuration() -> None:
    """It is no remark: nothing of such a file is taken over."""
    with pytest.raises(UsageError, match="on_release") as caught:
        config('select = ["class:gpu"]\non_release = ["bin/wipe"]')
    assert "a program as in" in (caught.value.hint or "")
    assert [doubt.check for doubt in doubts("bin/wipe")] == ["program-relative"]


@pytest.mark.skipif(ME != 0, reason="only root can give a file away")
@pytest.mark.parametrize(("which", "check"), [("program", "program-owner"), ("", "program-folder")])
def test_lint_names_what_is_somebody_elses(tmp_path: Path, which: str, check: str) -> None:
    """The program, or a folder above it."""
    path = script(tmp_path)
    os.chown(tmp_path / which, 65534, 0)
    assert [doubt.check for doubt in doubts(path)] == [check]


@pytest.mark.skipif(ME != 0, reason="only root can give a file away")
def test_somebody_elses_program_is_refused(tmp_path: Path) -> None:
    """Whatever its mode."""
    path = script(tmp_path)
    os.chown(path, 65534, 0)
    assert "is not root's" in (problem(path) or "")


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    """Nothing there, a folder, a relative path."""
    assert "no such file" in (problem(f"{tmp_path}/none", ME) or "")
    assert problem(str(tmp_path), ME) == "it is no program"
    assert problem("bin/true", ME) == "its path is not absolute"


def test_a_configuration_with_such_a_program_is_refused_whole(tmp_path: Path) -> None:
    """Before anything is served, and when it is read again."""
    path = script(tmp_path, mode=0o777)
    with pytest.raises(UsageError, match="must not be run"):
        refuse_unsafe(config(f'select = ["class:gpu"]\non_release = ["reset", "{path}"]'))
    harmless = config('select = ["class:gpu"]\non_release = ["reset", "give-back"]')
    assert refuse_unsafe(harmless) is harmless


def test_it_is_looked_at_again_before_it_runs(tmp_path: Path) -> None:
    """It may be another one by then."""
    path = script(tmp_path, mode=0o777)
    outcome = asyncio.run(run(path, {}, 5, ME))
    assert not outcome.done
    assert "must not be run" in outcome.text


@pytest.mark.parametrize(
    ("text", "said"),
    [("echo no disk; exit 3", "ended with exit code 3: no disk"), ("kill -9 $$", "was ended by signal 9")],
)
def test_how_it_failed_is_said(tmp_path: Path, text: str, said: str) -> None:
    """With its own words."""
    outcome = asyncio.run(run(script(tmp_path, text), {}, 5, ME))
    assert not outcome.done
    assert said in outcome.text


def test_its_environment_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours but what it is told."""
    monkeypatch.setenv("LD_PRELOAD_SECRET", "1")
    outcome = asyncio.run(
        run(script(tmp_path, f"env > {tmp_path}/env; pwd >> {tmp_path}/env"), {"A": "b"}, 5, ME)
    )
    assert outcome.done, outcome.text
    lines = (tmp_path / "env").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines if "=" in line}
    assert names <= {"PATH", "LANG", "HOME", "A", "PWD", "OLDPWD", "SHLVL", "_"}
    assert "A=b" in lines
    assert lines[-1] == "/"


def test_what_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    """Its children would hold the device just as well."""
    path = script(tmp_path, f"sleep 100 & echo $! > {tmp_path}/child; wait")
    outcome = asyncio.run(run(path, {}, 0.5, ME))
    assert "took longer than 0.5 s and was killed" in outcome.text
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and _lives(child):
        assert time.monotonic() < end
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    """Tell whether a process is more than a name that nobody took leave of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
