"""One guest from start to end: QEMU as a child, its console and events watched, its deadlines kept."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.lab import packages, topology
from tests.lab.guest.channel import DUMP
from tests.lab.protocol import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.ingredients import Cache
    from tests.lab.topology import Topology

READY_DEADLINE: Final = 240.0
"""Seconds from start until the supervisor speaks; about 20 on an idle machine under TCG."""
SCENARIO_GRACE: Final = 15.0
"""Seconds beyond its own deadline after which a scenario is taken to hang: the guest could not interrupt it."""
DUMP_DEADLINE: Final = 20.0
"""Seconds a hanging guest gets to send its kernel log."""
END_DEADLINE: Final = 60.0
"""Seconds a guest gets between scenarios, and to end after the last one."""
PANIC: Final = b"Kernel panic - not syncing"


class Plan(NamedTuple):
    """What to boot: machine, kernel, initramfs, accelerator, and what the guest is to do."""

    machine: Topology
    kernel_image: Path
    archives: tuple[Path, ...]
    accelerator: str
    task: str = "scenarios"


class Ending(NamedTuple):
    """How a guest ended: what it told, its console, and what went wrong ("" = nothing)."""

    progress: Progress
    console: str
    trouble: str
    seconds: float


def command(plan: Plan, cache: Cache, folder: Path, events: str) -> list[str]:
    """Give QEMU's full command line; folder holds the initramfs, the disks and the monitor's socket."""
    machine = plan.machine
    share = cache.qemu / "usr/share"
    disks = {name: str(folder / f"{name}.img") for name in machine.disks}
    words = [
        "console=ttyS0",
        "panic=-1",
        "oops=panic",
        f"lab.topology={machine.name}",
        f"lab.task={plan.task}",
    ]
    words += ["intel_iommu=on"] if machine.iommu else []
    return [
        *packages.foreign_command(cache.qemu, "usr/bin/qemu-system-x86_64"),
        *("-L", str(share / "qemu"), "-L", str(share / "seabios"), "-L", "/usr/share/qemu"),
        *("-accel", plan.accelerator, "-cpu", "host" if plan.accelerator == "kvm" else "max"),
        *topology.machine_arguments(machine),
        *topology.device_arguments(machine, disks),
        *topology.channel_arguments(events, str(folder / "monitor")),
        *("-kernel", str(plan.kernel_image), "-initrd", str(folder / "initramfs")),
        *("-append", " ".join(words)),
    ]


def run(plan: Plan, cache: Cache, ready_deadline: float = READY_DEADLINE) -> Ending:
    """Boot a guest, follow it to its end or to a deadline, and leave nothing running."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vfioctl-lab-") as name, socket.socket(socket.AF_UNIX) as server:
        folder = Path(name)
        _provide_files(plan, folder)
        server.bind(str(folder / "events"))
        server.listen(1)
        arguments = command(plan, cache, folder, str(folder / "events"))
        with _started(arguments, cache) as qemu:
            watch = _Watch(qemu, server)
            trouble = watch.follow(ready_deadline)
        return Ending(
            watch.progress, watch.console.decode(errors="replace"), trouble, time.monotonic() - started
        )


def run_shell(plan: Plan, cache: Cache) -> int:
    """Boot a guest on this terminal and give QEMU's exit code; Ctrl-A X ends it."""
    with tempfile.TemporaryDirectory(prefix="vfioctl-lab-") as name:
        folder = Path(name)
        _provide_files(plan, folder)
        arguments = [*command(plan, cache, folder, ""), "-serial", "mon:stdio"]
        return subprocess.run(arguments, env=_environment(cache), check=False).returncode


def _provide_files(plan: Plan, folder: Path) -> None:
    with (folder / "initramfs").open("wb") as target:
        for archive in plan.archives:
            with archive.open("rb") as source:
                while chunk := source.read(1 << 20):
                    target.write(chunk)
    for disk in plan.machine.disks:
        with (folder / f"{disk}.img").open("wb") as image:
            image.truncate(64 << 20)


def _environment(cache: Cache) -> dict[str, str]:
    return {**os.environ, "QEMU_MODULE_DIR": str(cache.qemu / "usr/lib/x86_64-linux-gnu/qemu")}


@contextmanager
def _started(arguments: list[str], cache: Cache) -> Iterator[subprocess.Popen[bytes]]:
    """Run QEMU with the serial console on its stdout, and end it by its own pid whatever happens."""
    qemu = subprocess.Popen(
        [*arguments, "-serial", "stdio"],
        env=_environment(cache),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield qemu
    finally:
        qemu.kill()
        qemu.wait()
        if qemu.stdout:
            qemu.stdout.close()


class _Watch:
    """Follows one QEMU: console, events and the deadline that applies now."""

    def __init__(self, qemu: subprocess.Popen[bytes], server: socket.socket) -> None:
        self.progress = Progress()
        self.console = b""
        self._qemu = qemu
        self._events: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._server = server
        self._selector.register(server, selectors.EVENT_READ, self._accept)
        if qemu.stdout:
            os.set_blocking(qemu.stdout.fileno(), False)
            self._selector.register(qemu.stdout, selectors.EVENT_READ, self._read_console)

    def follow(self, ready_deadline: float) -> str:
        """Follow the guest to its end; give what went wrong, "" for nothing."""
        try:
            trouble = self._follow_until_end(ready_deadline)
        finally:
            self._selector.close()
            if self._events:
                self._events.close()
        return trouble

    def _follow_until_end(self, ready_deadline: float) -> str:
        deadline = time.monotonic() + ready_deadline
        while self._qemu.poll() is None:
            kinds = self._wait(deadline)
            if "end" in kinds:
                return self._verdict()
            if kinds:
                deadline = time.monotonic() + self._allowance()
            elif time.monotonic() > deadline:
                return self._give_up(ready_deadline)
        self._drain()
        return self._verdict()

    def _allowance(self) -> float:
        return self.progress.deadline + SCENARIO_GRACE if self.progress.running else END_DEADLINE

    def _wait(self, deadline: float) -> list[str]:
        kinds: list[str] = []
        for key, _ in self._selector.select(min(1.0, max(0.0, deadline - time.monotonic()))):
            kinds += key.data()
        return kinds

    def _drain(self) -> None:
        """Take what is still in the pipes of a QEMU that has ended."""
        for _ in range(1000):
            before = len(self.console)
            if not self._wait(time.monotonic()) and len(self.console) == before:
                return

    def _accept(self) -> list[str]:
        self._events, _ = self._server.accept()
        self._events.setblocking(False)
        self._selector.unregister(self._server)
        self._selector.register(self._events, selectors.EVENT_READ, self._read_events)
        return []

    def _read_events(self) -> list[str]:
        data = self._events.recv(1 << 16) if self._events else b""
        if not data and self._events:
            self._selector.unregister(self._events)
        return list(self.progress.feed(data))

    def _read_console(self) -> list[str]:
        data = self._qemu.stdout.read() if self._qemu.stdout else b""
        if not data and self._qemu.stdout:
            self._selector.unregister(self._qemu.stdout)
        self.console += data or b""
        return []

    def _verdict(self) -> str:
        """Judge a guest that has ended by itself."""
        progress = self.progress
        if progress.exit_code in {0, 1}:
            return ""
        if PANIC in self.console:
            line = next(line for line in self.console.splitlines() if PANIC in line)
            reason = f"the guest's kernel panicked: {line.decode(errors='replace').strip()}"
        elif progress.exit_code is None:
            reason = f"QEMU ended (exit code {self._qemu.returncode}) before the guest told its result"
        elif progress.exit_code == -signal.SIGKILL and "Out of memory" in progress.log:
            reason = "the guest ran out of memory: its kernel killed pytest"
        else:
            reason = _exit_reason(progress.exit_code)
        progress.abandon(reason)
        return reason

    def _give_up(self, ready_deadline: float) -> str:
        """Ask a guest that hangs for its log, and say at which point it was."""
        progress = self.progress
        if not progress.release:
            return f"the guest did not come up within {ready_deadline:.0f} s"
        what = f"{progress.running} did not come back" if progress.running else "the guest did not come back"
        reason = f"the guest hangs: {what} within {self._allowance():.0f} s"
        self._ask_for_log()
        progress.abandon(reason)
        return reason

    def _ask_for_log(self) -> None:
        deadline = time.monotonic() + DUMP_DEADLINE
        try:
            if self._events:
                self._events.send(DUMP)
        except OSError:
            return
        while time.monotonic() < deadline and self._qemu.poll() is None:
            if "end" in self._wait(deadline):
                return


def _exit_reason(code: int) -> str:
    if code < 0:
        return f"pytest in the guest was ended by signal {-code}"
    meanings = {
        2: "was interrupted",
        3: "had an internal error",
        4: "was called wrongly",
        5: "found no scenario",
    }
    return f"pytest in the guest {meanings.get(code, 'failed')} (exit code {code})"
