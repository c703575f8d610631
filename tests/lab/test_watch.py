"""Deadlines and endings of a guest, shown with small programs in QEMU's place: real processes, no QEMU."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab import watch
from tests.lab.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

TELL = """
import json, socket, sys, time
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
def tell(event, **fields):
    line.sendall(json.dumps({"event": event, **fields}).encode() + b"\\n")
"""
READY = 'tell("ready", kernel="6.1")\n'
START = 'tell("start", name="a", deadline=0.2)\n'
SLEEP = "time.sleep(60)\n"


def followed(tmp_path: Path, program: str, ready_deadline: float = 20.0) -> tuple[Watch, str]:
    """Follow a program that speaks as a guest does, and end it; give the watch and the trouble."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "events"))
        server.listen(1)
        command = [sys.executable, "-c", TELL + program, str(tmp_path / "events")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as guest:
            try:
                seen = Watch(guest, server)
                return seen, seen.follow(ready_deadline)
            finally:
                guest.kill()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what takes a minute take a moment."""
    monkeypatch.setattr(watch, "SCENARIO_GRACE", 0.3)
    monkeypatch.setattr(watch, "DUMP_DEADLINE", 0.3)
    monkeypatch.setattr(watch, "LOOK", 0.1)


def test_a_guest_that_ran_to_its_end_is_in_no_trouble(tmp_path: Path) -> None:
    """Also if scenarios failed: that is told by the cases."""
    seen, trouble = followed(tmp_path, READY + 'tell("end", exit=1, log="k")\n' + SLEEP)
    assert (trouble, seen.progress.log) == ("", "k")


def test_a_guest_that_never_comes_up_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    """The one trouble after which a boot may be tried again."""
    started = time.monotonic()
    seen, trouble = followed(tmp_path, SLEEP, ready_deadline=0.3)
    assert "did not come up" in trouble
    assert seen.progress.release == ""
    assert time.monotonic() - started < 10


def test_a_guest_that_falls_silent_while_coming_up_is_given_up_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A boot that hangs says nothing more; a slow one goes on talking."""
    monkeypatch.setattr(watch, "SILENCE_DEADLINE", 0.3)
    _, trouble = followed(tmp_path, SLEEP)
    assert "fell silent" in trouble


def test_a_scenario_that_does_not_come_back_is_the_one_that_failed(tmp_path: Path) -> None:
    """Its own deadline and some grace, not that of the whole run."""
    seen, trouble = followed(tmp_path, READY + START + SLEEP)
    assert trouble.startswith("the guest hangs: a did not come back")
    assert [(case.name, case.outcome) for case in seen.progress.cases] == [("a", "failed")]


def test_a_panic_is_told_from_the_console(tmp_path: Path) -> None:
    """The guest itself can no longer say it."""
    said = 'print("[ 9.0] Kernel panic - not syncing: sysrq", flush=True)\n'
    seen, trouble = followed(tmp_path, READY + START.replace("0.2", "30.0") + said)
    assert trouble == "the guest's kernel panicked: [ 9.0] Kernel panic - not syncing: sysrq"
    assert [case.outcome for case in seen.progress.cases] == ["failed"]


def test_a_guest_that_ends_without_a_result_says_so_with_the_exit_code(tmp_path: Path) -> None:
    """QEMU refused its arguments, or was killed."""
    _, trouble = followed(tmp_path, "sys.exit(7)\n")
    assert trouble == "QEMU ended (exit code 7) before the guest told its result"


@pytest.mark.parametrize(
    ("code", "log", "reason"),
    [
        (-9, "Out of memory: Killed process 7", "the guest ran out of memory: its kernel killed pytest"),
        (-11, "", "pytest in the guest was ended by signal 11"),
        (3, "", "pytest in the guest had an internal error (exit code 3)"),
        (5, "", "pytest in the guest found no scenario (exit code 5)"),
    ],
)
def test_what_ended_pytest_is_named(tmp_path: Path, code: int, log: str, reason: str) -> None:
    """Each in its own words."""
    end = json.dumps({"exit": code, "log": log})
    _, trouble = followed(tmp_path, READY + f'tell("end", **{end})\n' + SLEEP)
    assert trouble == reason


def test_a_hanging_guest_is_asked_for_its_kernel_log(tmp_path: Path) -> None:
    """The supervisor answers where the scenario cannot."""
    answer = 'assert line.recv(16) == b"dump"\ntell("end", exit=-1, log="blocked tasks")\n'
    seen, trouble = followed(tmp_path, READY + START + answer + SLEEP)
    assert "a did not come back" in trouble
    assert seen.progress.log == "blocked tasks"
