"""Supervisor in the guest: set up the network, run pytest, answer the outside even when pytest cannot."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.lab.guest import channel, disk, ready
from tests.lab.topologies import TOPOLOGIES
from tests.lab.topology import EVENTS_PORT

ADDRESS: Final = "192.0.2.10/24"
GATEWAY: Final = "192.0.2.1"


def main() -> None:
    """Run what the kernel's command line asks for and report how it ended."""
    words = dict(
        word.partition("=")[::2] for word in Path("/proc/cmdline").read_text(encoding="ascii").split()
    )
    machine = TOPOLOGIES[words["lab.topology"]]
    _keep_alive()
    _default_route(machine.default_route)
    if words["lab.task"] == "shell":
        _shell(words["lab.terminal"])
        return
    events = os.open(channel.port(EVENTS_PORT), os.O_RDWR)
    channel.send(events, "ready", kernel=os.uname().release)
    if words["lab.task"] == "nothing":
        return
    arguments = Path("/checkout/lab.arguments").read_text(encoding="utf-8").splitlines()
    ready.load(*([ready.PLUGIN] if machine.containers else []))
    code = _supervise(events, arguments)
    if machine.restarts:
        channel.send_file(events, disk.NAME, disk.packed())
    channel.send(events, "end", exit=code, log=_kernel_log())


def _shell(terminal: str) -> None:
    """Run a shell on the serial line, as wide and high as the terminal outside (`COLUMNSxLINES`)."""
    columns, _, lines = terminal.partition("x")
    with Path("/dev/ttyS0").open("r+b", buffering=0) as line:
        subprocess.run(["stty", "columns", columns, "rows", lines], stdin=line, check=False)
        command = ["setsid", "--ctty", "--wait", "bash", "-i"]
        environment = {**os.environ, "TERM": "xterm-256color"}
        subprocess.run(command, stdin=line, stdout=line, stderr=line, env=environment, check=False)


def _keep_alive() -> None:
    """Make the kernel pick anything but the supervisor when memory runs out."""
    Path("/proc/self/oom_score_adj").write_text("-1000", encoding="ascii")


def _default_route(address: str) -> None:
    if not address:
        return
    for interface in Path(f"/sys/bus/pci/devices/{address}/net").glob("*"):
        for command in (
            ["ip", "link", "set", interface.name, "up"],
            ["ip", "address", "add", ADDRESS, "dev", interface.name],
            ["ip", "route", "add", "default", "via", GATEWAY],
        ):
            subprocess.run(command, check=False)


def _supervise(events: int, arguments: list[str]) -> int:
    """Run pytest; give its exit code, or minus the signal that ended it, -1 when it had to be left.

    It is forked from this process, as each vfioctl is: emulated, none of them has to load the same again.
    """
    ready.started()
    pytest = _pytest(events, arguments)
    while not (ended := os.waitpid(pytest, os.WNOHANG))[0]:
        readable, _, _ = select.select([events], [], [], 0.2)
        if not readable:
            continue
        request = os.read(events, 64)
        if channel.DUMP in request:
            Path("/proc/sysrq-trigger").write_text("w", encoding="ascii")
        if channel.DUMP in request or not request:  # an empty read: nobody is there any more
            return -1
    return os.waitstatus_to_exitcode(ended[1])


def _pytest(events: int, arguments: list[str]) -> int:
    """Fork, and be pytest there; give the pid."""
    if pid := os.fork():
        return pid
    code = 70
    try:
        os.environ[channel.EVENTS_DESCRIPTOR] = str(events)
        import pytest

        code = pytest.main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _kernel_log() -> str:
    return subprocess.run(["dmesg"], capture_output=True, text=True, errors="replace", check=False).stdout


if __name__ == "__main__":
    main()
