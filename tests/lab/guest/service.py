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
RESTORE_UNIT: Final = "vfioctl-restore.service"
UNITS: Final = Path("/run/systemd/system")
CGROUPS: Final = Path("/sys/fs/cgroup")
MACHINE_ID: Final = Path("/etc/machine-id")
LOG: Final = Path("/run/vfioctl-plugin.log")
"""What the services say: there is no journal."""

_ALONE: Final = (
    "[Unit]\nDescription=Nothing but what a scenario starts\nDefaultDependencies=no\nAllowIsolate=yes\n"
)
_ALONE_TOO: Final = "[Unit]\nDefaultDependencies=no\n"
_WHERE: Final = f"""[Service]
StandardOutput=append:{LOG}
StandardError=append:{LOG}
"""
_CHECKOUT: Final = "Environment=PYTHONPATH=/checkout\n"
_WATCHED: Final = "WatchdogSec=20\nTimeoutAbortSec=5\n"
"""Software emulation is slow, and the watchdog is to bite within a scenario's time."""
_SLOW: Final = "TimeoutStartSec=180\n"
_ANOTHERS: Final = "systemd-udevd.service"
"""What a unit may want and this systemd must not start: the guest's own init has."""
_BOOT: Final = "multi-user.target"
_BOOT_ADDED: Final = Path("/usr/lib/systemd/system/multi-user.target.wants")


class Manager:
    """A systemd that starts nothing by itself."""

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

    def shown(self, name: str, unit: str = UNIT) -> str:
        """Give one property of the plugin's service, or of another unit."""
        return self.ask("show", unit, f"--property={name}", "--value").stdout.strip()

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
    """Run systemd with the plugin's unit, or without it, and with what --persist has written to /etc."""
    libraries.listed()
    if not (CGROUPS / "cgroup.procs").exists():
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", str(CGROUPS)], check=True)
    _write_units(plugin=plugin)
    # A host without one is started for the first time, and systemd enables there what its distribution says.
    MACHINE_ID.write_text(f"{1:032x}\n", encoding="ascii")
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
    _write_to(UNIT, _ALONE_TOO + _WHERE + (_CHECKOUT + _WATCHED if plugin else ""))
    _write_to(NAMES_UNIT, _ALONE_TOO + _WHERE + _SLOW)
    _write_to(RESTORE_UNIT, _WHERE + _CHECKOUT)
    (UNITS / "lab.target").write_text(_ALONE, encoding="utf-8")
    _mask(_ANOTHERS)
    if not plugin:
        return
    printed = subprocess.run(
        ["vfioctl", "serve-plugin", "--print-unit"], capture_output=True, text=True, check=True
    )
    (UNITS / UNIT).write_text(printed.stdout, encoding="utf-8")


def write_boot(unit: str, text: str) -> None:
    """Let multi-user.target want this unit, and what /etc adds to it, but nothing of the distribution's."""
    for added in _BOOT_ADDED.iterdir():
        _mask(added.name)
    (UNITS / _BOOT).write_text(f"{_ALONE_TOO}Wants={unit}\nAfter={unit}\n", encoding="utf-8")
    (UNITS / unit).write_text(text, encoding="utf-8")
    _write_to(unit, _WHERE)


def _write_to(unit: str, text: str) -> None:
    (UNITS / f"{unit}.d").mkdir(parents=True)
    (UNITS / f"{unit}.d" / "lab.conf").write_text(text, encoding="utf-8")


def _mask(unit: str) -> None:
    (UNITS / unit).symlink_to("/dev/null")


def log() -> str:
    """Give what the service has said."""
    return LOG.read_text(encoding="utf-8") if LOG.exists() else ""
