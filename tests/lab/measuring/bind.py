"""Binding, side by side in one guest: vfioctl, driverctl, devbind, and bare writes to sysfs."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from tests.lab.guest import channel, kernel
from tests.lab.guest.qmp import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PHYSICAL: Final = "0000:03:00.0"
FUNCTIONS: Final = 64
ROUNDS: Final = 3
SINGLE_ROUNDS: Final = 15
DEVBIND: Final = ("python3", "-c", "from devbind import main; main()")

pytestmark = pytest.mark.deadline(900)


class Way(NamedTuple):
    """One way of binding devices: what it is called, and what it does."""

    name: str
    bind: Callable[[Sequence[str]], object]


@pytest.fixture(scope="module")
def functions() -> Iterator[list[str]]:
    """Sixty-four driverless virtual functions of an NVMe controller that is plugged in for it.

    It is not pulled again: QEMU 10.0 aborts when an NVMe controller with SR-IOV goes.
    """
    with Monitor() as monitor:
        monitor.add(
            "nvme", "fleet", "rp3", serial="fleet", subsys="subsystem", max_ioqpairs=130, msix_qsize=131,
            sriov_max_vfs=FUNCTIONS, sriov_vq_flexible=2 * FUNCTIONS, sriov_vi_flexible=FUNCTIONS,
        )  # fmt: skip
        kernel.wait_until(lambda: kernel.driver_of(PHYSICAL) == "nvme", "the controller to be driven", 60)
        kernel.settle()
        folder = kernel.DEVICES / PHYSICAL
        kernel.write(folder / "sriov_drivers_autoprobe", "0")
        kernel.write(folder / "sriov_numvfs", str(FUNCTIONS))
        kernel.modprobe("vfio-pci", "vfio_iommu_type1")
        kernel.settle()
        yield [(folder / f"virtfn{index}").resolve().name for index in range(FUNCTIONS)]


def run(*command: str) -> None:
    """Run a program that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)


def timed(bind: Callable[[Sequence[str]], object], addresses: Sequence[str]) -> float:
    """Bind driverless devices, check that all are bound, and give the seconds that the binding took."""
    kernel.settle()
    started = time.monotonic()
    bind(addresses)
    seconds = time.monotonic() - started
    assert {kernel.driver_of(address) for address in addresses} == {"vfio-pci"}
    for address in addresses:
        kernel.unbind(address)
        kernel.clear_override(address)
    for name in ("drivers.json", "journal"):
        Path("/run/vfioctl", name).unlink(missing_ok=True)
    return seconds


def each(*command: str) -> Callable[[Sequence[str]], object]:
    """Give a loop that runs a program once for each device, whose address takes the place of `@`."""

    def loop(addresses: Sequence[str]) -> None:
        for address in addresses:
            run(*(address if word == "@" else word for word in command))

    return loop


def bare(addresses: Sequence[str]) -> None:
    """Write override and bind of each device from a process that runs already: nothing can be faster."""
    for address in addresses:
        kernel.bind(address, "vfio-pci")


def shell(addresses: Sequence[str]) -> None:
    """Write them from a shell, started for it."""
    for address in addresses:
        folder = f"/sys/bus/pci/devices/{address}"
        override = f"echo vfio-pci > {folder}/driver_override"
        run("sh", "-c", f"{override}; echo {address} > /sys/bus/pci/drivers/vfio-pci/bind")


WAYS: Final = (
    Way(
        "vfioctl bind, one command", lambda _: run("vfioctl", "bind", f"vfs-of:{PHYSICAL}#0-{FUNCTIONS - 1}")
    ),
    Way("vfioctl bind, in a loop", each("vfioctl", "bind", "@")),
    Way("driverctl set-override, in a loop", each("driverctl", "--nosave", "set-override", "@", "vfio-pci")),
    Way("devbind --device --bind, in a loop", each(*DEVBIND, "--device", "@", "--bind", "vfio-pci")),
    Way("bare writes by a running program", bare),
)


def table(title: str, found: dict[str, list[float]]) -> str:
    """Give the figures as text: least, median and most seconds, and how many times the first one's."""
    first = statistics.median(next(iter(found.values())))
    lines = [title, f"{'':36} {'least':>8} {'median':>8} {'most':>8}  times the first"]
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        lines.append(f"{name:36} {min(seconds):8.3f} {middle:8.3f} {max(seconds):8.3f}  {middle / first:.2f}")
    return "\n".join(lines) + "\n"


def test_many(functions: list[str], release_name: str) -> None:
    """Sixty-four devices, each way after the other, several rounds."""
    found: dict[str, list[float]] = {way.name: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way in WAYS:
            found[way.name].append(timed(way.bind, functions))
    what = f"{FUNCTIONS} driverless functions to vfio-pci, {ROUNDS} rounds"
    title = f"{what}, seconds, Linux {os.uname().release}"
    channel.bring_back(f"bind-many-{release_name}.txt", table(title, found).encode())


def test_one(functions: list[str], release_name: str) -> None:
    """One device: the whole command, and what it is made of at least."""
    address = functions[0]
    nothing: dict[str, list[float]] = {"vfioctl --version (start-up)": [], "vfioctl scan (and reading)": []}
    ways = (
        Way("vfioctl bind", each("vfioctl", "bind", "@")),
        Way("bare writes from a shell", shell),
        Way("driverctl set-override", each("driverctl", "--nosave", "set-override", "@", "vfio-pci")),
        Way("devbind --device --bind", each(*DEVBIND, "--device", "@", "--bind", "vfio-pci")),
    )
    found: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(SINGLE_ROUNDS):
        for way in ways:
            found[way.name].append(timed(way.bind, [address]))
        for name, word in zip(nothing, ("--version", "scan"), strict=True):
            started = time.monotonic()
            run("vfioctl", word)
            nothing[name].append(time.monotonic() - started)
    title = f"one driverless function, {SINGLE_ROUNDS} rounds, seconds, Linux {os.uname().release}"
    channel.bring_back(f"bind-one-{release_name}.txt", table(title, {**found, **nothing}).encode())


@pytest.fixture(scope="module")
def release_name(request: pytest.FixtureRequest) -> str:
    """Give the kernel's version as the lab calls it."""
    return str(request.config.getoption("--kernel"))
