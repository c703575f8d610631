"""The whole transaction in real processes, on a folder that looks like sysfs and blocks like it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vfioctl.apply.inflight import await_end
from vfioctl.apply.journal import read_unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LATEST, AT_ONCE = 30.0, 2.5
NIC, GPU = "0000:03:00.0", "0000:01:00.0"

PROGRAM = """
import json, sys
from vfioctl.apply.crew import Crew
from vfioctl.apply.kernel import Kernel
from vfioctl.apply.recovery import recover
from vfioctl.apply.transaction import Settings, carry_out
from vfioctl.model.address import PciAddress
from vfioctl.model.binding import Binding, Move
from vfioctl.plan.plan import Plan, Unit
from vfioctl.plan.transition import transition
from vfioctl.sysfs.root import HostRoot
base, state, what, timeout = sys.argv[1:]
port = Crew(state, Kernel(HostRoot(base)).perform)
settings = Settings(float(timeout), 0.0, state)
def plan(moves):
    return Plan("unbind", (), (), (), tuple(Unit((move,), transition((move,))) for move in moves))
moves = [
    Move(PciAddress.parse(name), Binding("vfio-pci", "vfio-pci"), Binding(None, "parked"))
    for name in ("0000:01:00.0", "0000:03:00.0")
]
def say(outcome):
    print(outcome.step.step, outcome.step.address, outcome.status, flush=True)
if what == "unbind":
    report = carry_out(lambda: plan(moves), settings, observe=say, port=port)
else:
    report = recover(lambda unfinished: plan(()), settings, observe=say, port=port)
print(json.dumps([report.result, [[str(one.address), one.stuck] for one in report.states]]))
sys.exit(report.exit_code)
"""


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """Return a root with two devices on vfio-pci, whose unbind blocks."""
    root = tmp_path / "root"
    for name in (GPU, NIC):
        folder = root / "sys/bus/pci/devices" / name
        folder.mkdir(parents=True)
        # As long as what is written over it, since a file keeps what a sysfs attribute does not.
        (folder / "driver_override").write_text("vfio-pci"[: len("parked")])
        (folder / "driver").symlink_to("../../drivers/vfio-pci")
        (folder / "vendor").write_text("0x8086\n")
        (folder / "device").write_text("0x10d3\n")
    driver = root / "sys/bus/pci/drivers/vfio-pci"
    driver.mkdir(parents=True)
    os.mkfifo(driver / "unbind")
    (root / "sys/bus/pci/drivers_probe").write_text("")
    boot_id = root / "proc/sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True)
    boot_id.write_text("6a1f7c52\n")
    yield root
    # The holder leaves: whoever still waits in a write ends.
    os.close(os.open(driver / "unbind", os.O_RDONLY | os.O_NONBLOCK))


def run(
    base: Path, state: str, what: str = "unbind", timeout: float = 0.2
) -> subprocess.CompletedProcess[str]:
    """Run the program behind a pipe."""
    command = 'set -o pipefail; "$0" -c "$@" | cat'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, PROGRAM, str(base), state, what, str(timeout)],
        capture_output=True,
        text=True,
        check=False,
        timeout=LATEST,
    )


def eventually(there: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + LATEST
    while not there():
        assert time.monotonic() < until
        time.sleep(0.005)


def at_rest(pid: int) -> bool:
    """Tell whether all processes of a program sleep and go on sleeping: its writers are at the pipe."""
    for _ in range(3):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        stats = [Path(f"/proc/{child}/stat").read_text() for child in children]
        if not stats or any(stat.rpartition(") ")[2][0] != "S" for stat in stats):
            return False
        time.sleep(0.02)
    return True


@pytest.mark.slow
def test_a_stuck_unbind_costs_the_timeout_and_no_more(base: Path, state: str) -> None:
    """The program ends with exit 8 while its writers still hang; so does recover, until the holder leaves."""
    began = time.monotonic()
    # Long enough for both writers to have begun, on a busy machine as well.
    ended = run(base, state, timeout=1.0)
    took = time.monotonic() - began

    result, states = json.loads(ended.stdout.splitlines()[-1])
    assert (ended.returncode, ended.stderr, result) == (8, "", "stuck")
    assert states == [[GPU, True], [NIC, True]]
    assert took < AT_ONCE * 2, "with the start of the program, on a busy machine"
    unfinished = read_unfinished(state)
    assert unfinished is not None
    assert unfinished.stuck

    again = run(base, state, "recover")
    assert again.returncode == 8
    assert json.loads(again.stdout.splitlines()[-1]) == ["stuck", [[GPU, True], [NIC, True]]]

    assert sorted(taken(base, 2)) == ["01:00.0", "03:00.0"]
    assert await_end(state, LATEST) is None


def taken(base: Path, count: int) -> list[str]:
    """Take writes out of the pipe that stands for `unbind`, until there are that many."""
    # Open for both ways: it does not end when the first writer is through and the second not yet there.
    pipe = os.open(base / "sys/bus/pci/drivers/vfio-pci/unbind", os.O_RDWR | os.O_NONBLOCK)
    text = bytearray()

    def all_there() -> bool:
        with suppress(BlockingIOError):
            text.extend(os.read(pipe, 4096))
        return text.count(b"0000:") >= count

    try:
        eventually(all_there)
    finally:
        os.close(pipe)
    return text.decode().split("0000:")[1:]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_write(base: Path, state: str, number: signal.Signals) -> None:
    """Killed, its journal stands; asked to end, it finishes the write under way first."""
    command = [sys.executable, "-c", PROGRAM, str(base), state, "unbind", str(LATEST)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        eventually(lambda: os.path.exists(f"{state}/writers") and len(await_end(state, 0) or ()) == 2)
        eventually(lambda: at_rest(program.pid))
        program.send_signal(number)
        if number is signal.SIGKILL:
            program.wait(LATEST)
        else:
            time.sleep(0.05)
            assert program.poll() is None, "it waits for the write"
        assert read_unfinished(state) is not None
        for name in (GPU, NIC):
            (base / "sys/bus/pci/devices" / name / "driver").unlink()
        assert len(taken(base, 2)) == 2
        output = program.stdout.read() if program.stdout else ""

    assert await_end(state, LATEST) is None
    if number is signal.SIGKILL:
        assert (program.returncode, read_unfinished(state) is not None) == (-9, True)
    else:
        # With these writes the plan is complete: there is no step left that the signal could prevent.
        assert json.loads(output.splitlines()[-1])[0] == "done"
        assert read_unfinished(state) is None
