"""A virtual machine inside the guest: QEMU itself, holding devices as libvirt would have it do."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.guest import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running(name: str, *addresses: str) -> Iterator[subprocess.Popen[bytes]]:
    """Have a virtual machine with these devices, its processors stopped; ended by its pid."""
    command = ["qemu-system-x86_64", "-name", f"guest={name},debug-threads=on", "-S", "-m", "32"]
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


def held_by(pid: int) -> int:
    """Count the devices that a process has open through VFIO (K30)."""
    links = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links += os.readlink(descriptor) == "anon_inode:[vfio-device]"
        except OSError:
            continue
    return links
