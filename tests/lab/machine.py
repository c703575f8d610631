"""One guest from start to end: its files, QEMU as a child that is always ended, and how it went."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.lab import packages, topology
from tests.lab.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.ingredients import Cache
    from tests.lab.protocol import Progress
    from tests.lab.topology import Topology

READY_DEADLINE: Final = 240.0
"""Seconds from start until the supervisor speaks; about 20 on an idle machine under TCG."""

SHELL: Final = "shell"
"""The task of a guest that gives a prompt instead of running scenarios."""
INSTRUCTIONS: Final = "instructions"
"""The accelerator for measuring."""
EMULATED: Final = "max,erms=off,fsrm=off"
"""All that can be emulated, but for the promise that copying byte by byte is fast: emulated it is the slowest
way, and kernel and C library would take it for every page."""
PROCESSOR: Final = {
    "kvm": ("-accel", "kvm", "-cpu", "host"),
    "tcg": ("-accel", "tcg,thread=single", "-cpu", EMULATED),
    INSTRUCTIONS: (
        *("-accel", "tcg,thread=single", "-cpu", EMULATED),
        *("-icount", "shift=0,sleep=off"),
    ),
}
"""Accelerator and processor. With a thread for each virtual processor, QEMU 10.0 aborts now and then while
the kernel sizes BARs (assertion in iotlb_to_section): 1 of 3 starts of the largest machine on a busy host.
With instructions a nanosecond of the guest's time is one instruction: figures that no other work disturbs."""
LEAN: Final = (
    "no_timer_check", "tsc=reliable", "init_on_alloc=0", "mitigations=off", "lsm=lockdown,capability,yama",
)  # fmt: skip
"""What the kernel is told beside. It is not to judge the timer by how often it ticks: a guest that got too
little of the processor panicked there ("timer doesn't work through Interrupt-remapped IO-APIC"). It may trust
the processors' counter, which is one for all of them: 6.1 takes those of AMD for unsynchronized, and reads
each time from a device then (HPET). It need not clear memory that is about to be written, nor guard against
a processor that guesses, which an emulated one does not, and does without the security modules that need a
policy."""
RUNNING: Final[set[subprocess.Popen[bytes]]] = set()
"""Every QEMU of this process that has not been ended yet."""
STOPPED: Final = threading.Event()
"""Set once the whole run is to end."""


class Plan(NamedTuple):
    """What to boot: machine, kernel, initramfs, accelerator, and what the guest is to do."""

    machine: Topology
    kernel_image: Path
    archives: tuple[Path, ...]
    accelerator: str
    task: str = "scenarios"
    boot: int = 1


class Ending(NamedTuple):
    """How a guest ended: what it told, its console, and what went wrong ("" = nothing)."""

    progress: Progress
    console: str
    trouble: str
    seconds: float
    processor_seconds: float


def command(plan: Plan, cache: Cache, folder: Path, events: str) -> list[str]:
    """Give QEMU's full command line; folder holds the initramfs, the disks and the monitor's socket."""
    machine = plan.machine
    share = cache.qemu / "usr/share"
    disks = {name: str(folder / f"{name}.img") for name in machine.disks}
    words = [
        "console=ttyS0",
        "panic=-1",
        "oops=panic",
        "log_buf_len=1M",  # all that a guest says: the usual ring, of 128 KiB, is full after some minutes
        *LEAN,
        f"lab.topology={machine.name}",
        f"lab.task={plan.task}",
        f"lab.boot={plan.boot}",
    ]
    words += ["intel_iommu=on"] if machine.iommu else []
    if plan.task == SHELL:
        size = shutil.get_terminal_size()
        words += ["quiet", f"lab.terminal={size.columns}x{size.lines}"]
    return [
        *packages.foreign_command(cache.qemu, "usr/bin/qemu-system-x86_64"),
        *("-L", str(share / "qemu"), "-L", str(share / "seabios"), "-L", "/usr/share/qemu"),
        *PROCESSOR[plan.accelerator],
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
            watch = Watch(qemu, server)
            trouble = watch.follow(ready_deadline)
            used = processor_seconds(qemu.pid)
        console = watch.console.decode(errors="replace")
        return Ending(watch.progress, console, trouble, time.monotonic() - started, used)


def processor_seconds(pid: int) -> float:
    """Give what a process has used of the processor so far, 0 for one that has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return 0.0
    user, system = stat.rpartition(") ")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def run_shell(plan: Plan, cache: Cache) -> int:
    """Boot a guest on this terminal and give QEMU's exit code; Ctrl-A X ends it."""
    with tempfile.TemporaryDirectory(prefix="vfioctl-lab-") as name:
        folder = Path(name)
        _provide_files(plan, folder)
        arguments = [*command(plan, cache, folder, ""), "-serial", "mon:stdio"]
        return subprocess.run(arguments, env=_environment(cache), check=False).returncode


def end_all() -> None:
    """End every guest that still runs, and let no other one start."""
    STOPPED.set()
    for qemu in tuple(RUNNING):
        qemu.kill()


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
    RUNNING.add(qemu)
    try:
        if STOPPED.is_set():
            raise InterruptedError
        yield qemu
    finally:
        RUNNING.discard(qemu)
        qemu.kill()
        qemu.wait()
        if qemu.stdout:
            qemu.stdout.close()
