from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.support.descriptors import open_files
from vfioctl.apply import lock
from vfioctl.apply.lock import locked
from vfioctl.errors import LockedError, NotPermittedError, VfioctlError

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys, time
from vfioctl.apply.lock import locked
with locked(sys.argv[-1], 5):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(state: str) -> subprocess.Popen[str]:
    """Start a process that holds the lock, and wait until it does."""
    command = [sys.executable, "-c", HOLDER, "bind 65:00.0", state]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_the_second_waits_then_names_the_first(state: str) -> None:
    """Exit 9, with pid and command of the one at work; and the way to wait longer."""
    with hold(state) as holder:
        began = time.monotonic()
        with pytest.raises(LockedError) as caught, locked(state, 0.1):
            pass
        waited = time.monotonic() - began
        holder.kill()

    assert 0.1 <= waited < 2
    assert f"pid {holder.pid}: " in caught.value.message
    assert "'bind 65:00.0'" in caught.value.message
    assert "--lock-timeout" in caught.value.hint
    assert caught.value.exit_code == 9


def test_who_waits_long_looks_less_often_and_never_past_the_end(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty that wait must not be what the one at work has to wait for."""
    looks: list[float] = [0.0]

    def pass_time(seconds: float) -> None:
        looks.append(looks[-1] + seconds)

    monkeypatch.setattr(lock, "monotonic", lambda: looks[-1])
    monkeypatch.setattr(lock, "sleep", pass_time)
    with locked(state, 0), pytest.raises(LockedError), locked(state, 60):
        pass

    pauses = [later - earlier for earlier, later in pairwise(looks)]
    assert looks[-1] == pytest.approx(60)
    assert len(looks) < 350
    assert pauses[:10] == pytest.approx([0.02] * 10)
    assert max(pauses) == pytest.approx(0.25)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_ends_with_its_process(state: str, number: signal.Signals) -> None:
    """However that ends."""
    with hold(state) as holder:
        holder.send_signal(number)
    with locked(state, 5):
        pass


def test_a_lock_that_is_given_back_can_be_had_at_once(state: str) -> None:
    """Also within one process, which does not hold it twice at a time."""
    with locked(state, 0):
        descriptors = open_files()
        with pytest.raises(LockedError, match=f"pid {os.getpid()}"), locked(state, 0):
            pass
        assert open_files() <= descriptors
    with locked(state, 0):
        pass


def test_an_error_under_the_lock_gives_it_back(state: str) -> None:
    """Ctrl-C while the host is read."""
    with pytest.raises(KeyboardInterrupt), locked(state, 0):
        raise KeyboardInterrupt
    with locked(state, 0):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, None])
def test_a_child_that_is_left_behind_holds_no_lock(state: str, number: signal.Signals | None) -> None:
    """A reading process in D state (K55) outlives the program, killed or not; the next does not wait."""
    code = """
import os, sys, time
from vfioctl.apply.lock import locked
with locked(sys.argv[1], 5):
    if os.fork() == 0:
        print("left behind", flush=True)
        sys.stdin.read()
        os._exit(0)
    if len(sys.argv) > 2:
        time.sleep(60)
"""
    arguments = [state] if number is None else [state, "stay"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "left behind\n"
        if number is not None:
            program.send_signal(number)
        program.wait(10)
        with locked(state, 1):
            pass


def test_a_stale_holder_is_not_named(state: str, tmp_path: Path) -> None:
    """What stands in the file may be of one who is long gone: between taking the lock and saying so."""
    with hold(state) as holder, open(f"{state}/lock", "w", encoding="utf-8") as file:
        file.write("4194999 bind")
        file.flush()
        with pytest.raises(LockedError, match="unknown"), locked(state, 0):
            pass
        holder.kill()
    assert tmp_path.exists()


def test_contenders_come_one_after_the_other(state: str, tmp_path: Path) -> None:
    """Eight processes at once: none inside while another is."""
    inside = tmp_path / "inside"
    code = f"""
import os
from vfioctl.apply.lock import locked
for _ in range(3):
    with locked({state!r}, 30):
        os.close(os.open({str(inside)!r}, os.O_CREAT | os.O_EXCL))
        os.unlink({str(inside)!r})
"""
    contenders = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(8)]

    assert [contender.wait(60) for contender in contenders] == [0] * 8


def test_a_state_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """As what it is: no permission, or something in the way."""
    (tmp_path / "file").write_text("")
    with pytest.raises(VfioctlError, match="Not a directory"), locked(str(tmp_path / "file" / "vfioctl"), 0):
        pass
    user = os.geteuid()
    os.chmod(tmp_path, 0o500)
    if user == 0:
        os.seteuid(65534)
    try:
        with (
            pytest.raises(NotPermittedError, match="Permission denied"),
            locked(str(tmp_path / "vfioctl"), 0),
        ):
            pass
    finally:
        os.seteuid(user)
        os.chmod(tmp_path, 0o700)
