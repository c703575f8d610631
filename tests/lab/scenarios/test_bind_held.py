"""A device that somebody holds: refused before anything is written, or bounded when it comes too late."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import bindings, cli, holder, kernel, kernel_log
from tests.lab.scenarios.test_blocked_unbind import SPARE, blocked, slowness, state  # noqa: F401 (a fixture)

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 3.0
"""Seconds given to one write in these scenarios."""
MARGIN = 2.0
"""Seconds beyond that in which a command answers, on a machine that is not emulated."""
MOST_SLOW = 20.0
"""Slower than this, no bound would tell an answer from a hang."""
ASKED_FOR = ("Relaying device request", "No device request channel")
"""What the kernel says as soon as an unbind waits for a holder (K33)."""

pytestmark = [pytest.mark.topologies(*SPARE), pytest.mark.deadline(180)]


def in_time(seconds: float, beyond: float = 0.0) -> bool:
    """Tell whether a command took no longer than that and the promise, on a machine as slow as this one is now.

    No machine is taken for faster than the one where the promise is made, so that an answer in that time is in
    time anywhere; how slow this one is takes longer to find out than most answers.
    """
    return seconds < beyond + MARGIN or seconds < beyond + MARGIN * min(slowness(), MOST_SLOW)


@pytest.fixture
def spare(topology) -> Iterator[str]:
    """A device on vfio-pci, put there by vfioctl; at the end it is where it was."""
    address = SPARE[topology.name]
    before = bindings.bindings()
    bindings.done("bind", address)
    yield address
    bindings.done("unbind", address)
    assert bindings.bindings() == before


@pytest.mark.parametrize("mode", ["silent", "deaf", "polite", "group"])
def test_a_held_device_is_refused_before_anything_is_written(spare, mode):
    """Whoever holds it, and whether or not the kernel's request would be heard (K57)."""
    driver = "nvme"
    last = kernel_log.last()
    with holder.holding(spare, mode) as held:
        for words in (
            ("unbind", spare),
            ("bind", spare, "--driver", driver),
            ("unbind", spare, "--device-only", "--driver", driver),
        ):
            answer = bindings.refused(*words, check="vm")
            assert in_time(answer.seconds)
            assert str(held.pid) in answer.stderr, answer.stderr
            assert "python3" in answer.stderr, answer.stderr
        assert cli.vfioctl("unbind", spare, "--force", "vm").exit_code == 2
        assert held.poll() is None
    assert not any(words in kernel_log.said(last) for words in ASKED_FOR)


@contextmanager
def overtaken(address: str, folder: Path, *command: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run vfioctl, and let a holder have the device once its unbind is decided and about to be written."""
    words = ["tests.lab.guest.effects", "write .*/unbind", str(folder), *command]
    # Through a shell and a pipe, as an administrator may: it must end although its writer does not.
    line = f"{sys.executable} -m {shlex.join(words)} | cat; exit ${{PIPESTATUS[0]}}"
    with subprocess.Popen(
        ["bash", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tool:
        kernel.wait_until((folder / "reached").exists, "the unbind to be reached", 60)
        with holder.holding(address) as held:
            (folder / "go").touch()
            yield tool, held.pid


def waits(pid: int) -> bool:
    """Tell whether a process is inside a write, and not waiting for a command."""
    return Path(f"/proc/{pid}/syscall").read_text().split()[0] == "1"


def has_ended(pid: int) -> bool:
    """Tell whether a process is gone, or a zombie that somebody has yet to wait for."""
    return not Path(f"/proc/{pid}").exists() or state(pid) == "Z"


def said_by(tool: subprocess.Popen[str], seconds: float) -> tuple[int, str, str]:
    """Give exit code, output and errors of a command that must end in time."""
    stdout, stderr = tool.communicate(timeout=seconds)
    return tool.returncode, stdout, stderr


@pytest.mark.parametrize("command", ["unbind", "bind"])
def test_a_holder_that_comes_in_between_is_named_and_the_tool_ends(spare, tmp_path, command):
    """Exit 8 in time, while the writer is in D state; recover ends clean once the holder is gone."""
    words = (spare,) if command == "unbind" else (spare, "--driver", "nvme")
    before = bindings.bindings()
    with overtaken(spare, tmp_path, command, *words, "--timeout", f"{TIMEOUT:g}") as (tool, pid):
        started = time.monotonic()
        kernel.wait_until(lambda: kernel.driver_of(spare) == "", "the unbind to begin")
        (writer,) = [pid for pid in bindings.writers() if waits(pid)]
        os.kill(writer, signal.SIGKILL)  # its first wait can be interrupted; what follows cannot (K34)
        kernel.wait_until(lambda: state(writer) == "D", "the writer to be uninterruptible")
        code, stdout, stderr = said_by(tool, TIMEOUT + MARGIN * MOST_SLOW)
        assert in_time(time.monotonic() - started, TIMEOUT)
        assert code == 8, (stdout, stderr)
        assert str(pid) in stderr + stdout
        assert "python3" in stderr + stdout
        assert spare in stderr + stdout
        assert state(writer) == "D"
        _answers_while_stuck(spare, pid)
    kernel.wait_until(lambda: has_ended(writer), "the writer to end")
    recovered = cli.vfioctl("recover")
    assert recovered.exit_code == 0, (recovered.stdout, recovered.stderr)
    assert bindings.differing(before, bindings.bindings()) == {}
    assert not bindings.JOURNAL.exists()
    assert cli.vfioctl("recover").exit_code == 0


def _answers_while_stuck(spare: str, pid: int) -> None:
    """Nothing else is started while the journal stands, and recover neither hangs nor claims to be done."""
    again = cli.vfioctl("unbind", spare)
    assert again.exit_code == 4, (again.stdout, again.stderr)
    assert str(pid) in again.stderr
    other = cli.vfioctl("bind", "0000:04:00.0")
    assert other.exit_code == 4, (other.stdout, other.stderr)
    assert "vfioctl recover" in other.stderr
    stuck = cli.vfioctl("recover", "--timeout", f"{TIMEOUT:g}")
    assert stuck.exit_code == 8, (stuck.stdout, stuck.stderr)
    assert in_time(stuck.seconds, TIMEOUT)
    assert str(pid) in stuck.stderr + stuck.stdout, (stuck.stdout, stuck.stderr)
    assert bindings.JOURNAL.exists()


def test_while_another_unbind_is_stuck_every_command_still_answers(topology, request):
    """scan, groups and each refusal take no more than two seconds longer than without it (K55)."""
    bridge = "0000:00:1f.0"
    commands = {
        ("scan",): 0,
        ("groups",): 0,
        ("bind", bridge): 5,
        ("bind", topology.default_route): 4,
        ("bind", "0000:1f:1f.7"): 3,
        ("bind", "--driver", "nosuch", topology.default_route): 5,
    }
    undisturbed = {words: cli.vfioctl(*words) for words in commands}
    assert {words: answer.exit_code for words, answer in undisturbed.items()} == commands
    address = request.getfixturevalue("blocked")
    for words, expected in commands.items():
        answer = cli.vfioctl(*words)
        assert answer.exit_code == expected, (words, answer.stdout, answer.stderr)
        assert in_time(answer.seconds, undisturbed[words].seconds), words
    for words in (("bind", address), ("unbind", address)):
        answer = cli.vfioctl(*words)
        assert answer.exit_code in {4, 5}, (words, answer.stdout, answer.stderr)
        assert in_time(answer.seconds, undisturbed["bind", bridge].seconds), words


def test_while_another_unbind_is_stuck_doctor_answers_and_does_not_call_it_fine(topology, request):
    """In no more than two seconds longer than without it (K55), on the host and on the device itself."""
    spare = SPARE[topology.name]
    undisturbed = {words: cli.vfioctl(*words) for words in (("doctor",), ("doctor", spare))}
    address = request.getfixturevalue("blocked")
    assert address == spare
    for words, before in undisturbed.items():
        answer = cli.vfioctl(*words, "--json")
        assert answer.exit_code in {0, 1}, (words, answer.stdout, answer.stderr)
        assert in_time(answer.seconds, before.seconds), words
        found = [check for check in answer.document["checks"] if check["address"] == address]
        assert any(check["status"] != "ok" for check in found), (words, found)


@pytest.mark.topologies("server")
def test_while_another_unbind_is_stuck_other_devices_can_be_bound(blocked):  # noqa: F811
    """One stuck device does not take the host hostage."""
    assert kernel.driver_of(blocked) == ""
    before = bindings.bound("0000:04:00.0")
    bindings.done("bind", "0000:04:00.0")
    bindings.done("unbind", "0000:04:00.0")
    assert bindings.bound("0000:04:00.0") == before
