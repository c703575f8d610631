"""A systemd inside the guest, beside its own init: in a process namespace of its own, as in a container."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab.guest import kernel, libraries

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIT: Final = "vfioctl-plugin.service"
NAMES_UNIT: Final = "vfioctl-cdi.service"
UNITS: Final = Path("/run/systemd/system")
CGROUPS: Final = Path("/sys/fs/cgroup")
LOG: Final = Path("/run/vfioctl-plugin.log")
"""What the services say: there is no journal."""

_ALONE: Final = (
    "[Unit]\nDescription=Nothing but what a scenario starts\nDefaultDependencies=no\nAllowIsolate=yes\n"
)
_WHERE: Final = f"""[Unit]
DefaultDependencies=no
[Service]
StandardOutput=append:{LOG}
StandardError=append:{LOG}
"""
_CHECKOUT: Final = """Environment=PYTHONPATH=/checkout
WatchdogSec=20
TimeoutAbortSec=5
"""
"""Software emulation is slow, and the watchdog is to bite within a scenario's time."""


class Manager:
    """A systemd that has the unit and nothing else."""

    def __init__(self, first: int) -> None:
        """Talk to the systemd that is this process: from within its namespaces, since it asks who calls."""
        self._enter = ("nsenter", "--target", str(first), "--pid", "--mount")

    def ask(self, *arguments: str, deadline: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Ask systemctl."""
        command = [*self._enter, "systemctl", "--no-pager", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=deadline)

    def run(self, *command: str, deadline: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a program where systemctl finds this systemd, as on a host that it has started."""
        whole = [*self._enter, "env", "--ignore-environment", f"PATH={os.environ['PATH']}", *command]
        return subprocess.run(whole, capture_output=True, text=True, check=False, timeout=deadline)

    def shown(self, name: str) -> str:
        """Give one property of the service."""
        return self.ask("show", UNIT, f"--property={name}", "--value").stdout.strip()

    def wait_for(self, name: str, value: str, deadline: float = 60.0) -> None:
        """Wait until a property of the service is this."""
        end = time.monotonic() + deadline
        while (now := self.shown(name)) != value:
            assert time.monotonic() < end, f"{name} is {now!r} and not {value!r}: {log()[-2000:]}"
            # To ask is to start two programs, and takes the processor from whom is asked about.
            time.sleep(1.0)

    def is_up(self) -> bool:
        """Tell whether it has come up."""
        return self.ask("is-active", "lab.target").returncode == 0


@contextmanager
def manager(*, plugin: bool = True) -> Iterator[Manager]:
    """Run systemd with no unit but the plugin's, or without that too."""
    libraries.listed()
    if not (CGROUPS / "cgroup.procs").exists():
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", str(CGROUPS)], check=True)
    _write_units(plugin=plugin)
    init = ["/usr/lib/systemd/systemd", "--system", "--unit=lab.target", "--log-target=console"]
    # SIGKILL is the one signal that ends the first process of a namespace.
    started = subprocess.Popen(
        ["unshare", "--pid", "--mount", "--fork", "--mount-proc", "--kill-child=SIGKILL", *init],
        env={**os.environ, "container": "lab"},
    )
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
    try:
        kernel.wait_until(lambda: children.read_text() != "", "systemd", 30)
        found = Manager(int(children.read_text()))
        kernel.wait_until(found.is_up, "lab.target", 60)
        yield found
        found.ask("stop", UNIT)
    finally:
        started.kill()
        started.wait()


def _write_units(*, plugin: bool) -> None:
    shutil.rmtree(UNITS, ignore_errors=True)
    for name in (UNIT, NAMES_UNIT):
        (UNITS / f"{name}.d").mkdir(parents=True)
        (UNITS / f"{name}.d" / "lab.conf").write_text(_WHERE, encoding="utf-8")
    (UNITS / "lab.target").write_text(_ALONE, encoding="utf-8")
    if not plugin:
        return
    printed = subprocess.run(
        ["vfioctl", "serve-plugin", "--print-unit"], capture_output=True, text=True, check=True
    )
    (UNITS / UNIT).write_text(printed.stdout, encoding="utf-8")
    (UNITS / f"{UNIT}.d" / "lab.conf").write_text(_WHERE + _CHECKOUT, encoding="utf-8")


def log() -> str:
    """Give what the service has said."""
    return LOG.read_text(encoding="utf-8") if LOG.exists() else ""
