"""Several vfioctl at once, and one that is asked to stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import bindings, channel, cli, effects, kernel
from tests.lab.scenarios.test_bind_round_trip import PHYSICAL

if TYPE_CHECKING:
    from collections.abc import Iterator

SPARE = "0000:04:00.0"
CARDS = ("0000:01:00.0", "0000:04:00.0", "0000:06:00.0")
COMMANDS = 50
FUNCTIONS = 7

pytestmark = [pytest.mark.topologies("server"), pytest.mark.deadline(300)]


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    kernel.modprobe("vfio-pci", "vfio_iommu_type1")
    effects.prepare()


@contextmanager
def paused(folder: Path, pattern: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Have a vfioctl that stops at an effect until the folder says `go`."""
    command = [sys.executable, "-m", "tests.lab.guest.effects", pattern, str(folder), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tool:
        try:
            kernel.wait_until(
                lambda: (folder / "reached").exists() or tool.poll() is not None, "the effect", 60
            )
            assert tool.poll() is None, tool.communicate()
            yield tool
        finally:
            (folder / "go").touch()
            tool.wait(timeout=60)


def test_the_second_waits_its_time_and_is_told_who_is_at_work(tmp_path):
    """Exit 9 after --lock-timeout; or its turn, when the first is done in time."""
    before = bindings.bindings()
    with paused(tmp_path, "write .*/bind", "bind", SPARE) as first:
        second = cli.vfioctl("bind", CARDS[0], "--lock-timeout", "1.5")
        assert second.exit_code == 9, second.stderr
        assert second.seconds > 1.5
        assert str(first.pid) in second.stderr
        dry = cli.vfioctl("bind", CARDS[0], "-n")
        assert dry.exit_code == 0, dry.stdout
        patient = subprocess.Popen(["vfioctl", "bind", CARDS[0], "--lock-timeout", "30"])
        (tmp_path / "go").touch()
        assert first.wait(timeout=60) == 0
        assert patient.wait(timeout=60) == 0
    bindings.done("unbind", SPARE, CARDS[0])
    assert bindings.bindings() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_in_the_middle_rolls_back(tmp_path, number):
    """Exit 130, everything as before, no journal: the step in flight is finished, then all is undone."""
    before = bindings.bindings()
    with paused(tmp_path, "write .*/bind", "bind", "0000:42:00", SPARE) as tool:
        tool.send_signal(number)
        time.sleep(0.3)
        assert tool.poll() is None, "a step was left alone in the middle"
        (tmp_path / "go").touch()
        stdout, stderr = tool.communicate(timeout=60)
    assert tool.returncode == 130, (stdout, stderr)
    assert bindings.differing(before, bindings.bindings()) == {}
    assert not bindings.JOURNAL.exists()


def test_a_terminal_that_goes_away_rolls_back(tmp_path):
    """SIGHUP: the ssh connection that carried the command broke, and nobody reads what it says."""
    before = bindings.bindings()
    with paused(tmp_path, "write .*/unbind", "bind", SPARE) as tool:
        assert tool.stdout
        assert tool.stderr
        tool.stdout.close()
        tool.stderr.close()
        tool.send_signal(signal.SIGHUP)
        (tmp_path / "go").touch()
        tool.wait(timeout=60)
    assert bindings.differing(before, bindings.bindings()) == {}
    assert not bindings.JOURNAL.exists()


@pytest.fixture
def ten() -> Iterator[list[str]]:
    """Seven virtual functions and three cards."""
    kernel.write(kernel.DEVICES / PHYSICAL / "sriov_drivers_autoprobe", "0")
    kernel.write(kernel.DEVICES / PHYSICAL / "sriov_numvfs", str(FUNCTIONS))
    kernel.settle()
    links = [(kernel.DEVICES / PHYSICAL / f"virtfn{index}").resolve().name for index in range(FUNCTIONS)]
    yield [*links, *CARDS]
    kernel.write(kernel.DEVICES / PHYSICAL / "sriov_numvfs", "0")
    kernel.write(kernel.DEVICES / PHYSICAL / "sriov_drivers_autoprobe", "1")
    kernel.settle()


@pytest.mark.kernels("6.12")
@pytest.mark.deadline(600)
def test_fifty_at_once_on_ten_devices_end_in_a_consistent_state(ten, release):
    """Each ends with 0 or 9; every device is wholly on one side, records included: all can be given back."""
    before = bindings.bindings()
    started = time.monotonic()
    running = {}
    for number in range(COMMANDS):
        device = ten[number % len(ten)]
        command = "bind" if number // len(ten) % 2 == 0 else "unbind"
        pid = os.fork()
        if pid == 0:
            run = effects.run(command, device, "--lock-timeout", "60", deadline=500)
            Path(f"/run/together-{os.getpid()}").write_text(
                json.dumps([command, device, run.exit_code, run.stderr]), encoding="utf-8"
            )
            os._exit(0)
        running[pid] = device
    for pid in running:
        os.waitpid(pid, 0)
    seconds = time.monotonic() - started
    results = [json.loads(path.read_text()) for path in Path("/run").glob("together-*")]
    assert len(results) == COMMANDS
    bad = [result for result in results if result[2] not in {0, 9}]
    channel.bring_back(
        f"together-{release}.txt", f"{COMMANDS} commands, {seconds:.1f} s\n{results}\n".encode()
    )
    assert bad == []
    assert not bindings.JOURNAL.exists()
    for device in ten:
        now = bindings.bound(device)
        assert now in (before[device], bindings.Bound("vfio-pci", "vfio-pci")), (device, now)
    given_back = bindings.done("unbind", *ten)
    assert given_back["result"] in {"done", "already"}
    assert bindings.differing(before, bindings.bindings()) == {}
