"""A virtual machine inside the guest: QEMU itself, holding devices as libvirt would have it do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.guest import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running(name: str, *addresses: str, stopped: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """Have a virtual machine with these devices; ended by its pid.

    Its processors are stopped, or run its firmware, which finds nothing to start and waits; it has an empty
    port more then, for a device that is plugged in.
    """
    command = ["qemu-system-x86_64", "-name", f"guest={name},debug-threads=on", "-m", "32"]
    command += ["-S"] if stopped else list(_running(name))
    command += ["-machine", "q35,accel=tcg", "-nodefaults", "-display", "none", "-L", "/usr/share/seabios"]
    for number, address in enumerate(addresses, start=1):
        command += ["-device", f"pcie-root-port,id=port{number},chassis={number}"]
        command += ["-device", f"vfio-pci,host={address},bus=port{number},id=hostdev{number}"]
    log = Path(f"/run/{name}.log")
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as machine:
        try:
            kernel.wait_until(
                lambda: machine.poll() is not None or held_by(machine.pid) == len(addresses),
                f"QEMU to have {addresses}: {log.read_text()}",
            )
            assert machine.poll() is None, log.read_text()
            yield machine
        finally:
            machine.kill()
            machine.wait()


def _running(name: str) -> Iterator[str]:
    """Yield what a machine that runs has beside devices: a monitor, and a port that asks no firmware."""
    yield from ("-qmp", f"unix:/run/{name}.qmp,server=on,wait=off")
    yield from ("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")
    yield from ("-device", "pcie-root-port,id=empty,chassis=99")


class Talk:
    """QMP with a virtual machine that runs: what it answers, and the events that it told of meanwhile."""

    def __init__(self, name: str) -> None:
        """Connect, and agree on the protocol."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(30)
        kernel.wait_until(lambda: self._connected(f"/run/{name}.qmp"), f"{name} to listen")
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self.events: list[dict[str, Any]] = []
        self._lines.readline()
        self.ask("qmp_capabilities")

    def _connected(self, path: str) -> bool:
        # What an earlier machine of this name has left refuses.
        return self._socket.connect_ex(path) == 0

    def ask(self, command: str, **arguments: str) -> Any:  # noqa: ANN401 - what it answers is its own
        """Send a command and return its answer; events before it are kept."""
        request = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            message = json.loads(self._lines.readline())
            if "event" in message:
                self.events.append(message)
                continue
            assert "error" not in message, message
            return message["return"]

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()


def held_by(pid: int) -> int:
    """Count the devices that a process has open through VFIO (K30)."""
    links = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links += os.readlink(descriptor) == "anon_inode:[vfio-device]"
        except OSError:
            continue
    return links
