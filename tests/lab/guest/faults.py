"""Faults on purpose: a process killed at the moment a device reaches a step of being bound."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final

from tests.lab.guest import kernel

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


def _override(address: str) -> str:
    return (kernel.DEVICES / address / "driver_override").read_text(encoding="ascii").strip()


STEPS: Final[dict[str, Callable[[str], bool]]] = {
    "overridden": lambda address: _override(address) != "(null)",
    "driverless": lambda address: kernel.driver_of(address) == "",
    "bound": lambda address: kernel.driver_of(address) == "vfio-pci",
}
"""The states a device passes on its way to vfio-pci, each told by sysfs alone."""


def kill_at(process: subprocess.Popen[bytes], step: str, address: str, deadline: float = 30.0) -> bool:
    """Kill a process (SIGKILL) as soon as a device has reached a step; False if it ended before.

    The state is polled without pause, so a step shorter than one look (about 0.1 ms) may be passed.
    """
    reached, end = STEPS[step], time.monotonic() + deadline
    while process.poll() is None:
        if reached(address):
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return True
        if time.monotonic() > end:
            message = f"{address} did not become {step}"
            raise TimeoutError(message)
    return False
