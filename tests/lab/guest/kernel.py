"""The kernel's own word: what sysfs and lspci say, and bind and unbind done by hand, without vfioctl."""

from __future__ import annotations

import os
import re
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DEVICES: Final = Path("/sys/bus/pci/devices")
DRIVERS: Final = Path("/sys/bus/pci/drivers")
GROUPS: Final = Path("/sys/kernel/iommu_groups")
SETTLED: Final = 20.0
"""Seconds within which the kernel or udev has done what it was asked; usually well below one."""


class Listed(NamedTuple):
    """One device as `lspci -Dnnk` lists it; absent parts are empty."""

    address: str
    class_name: str
    class_code: str
    vendor_id: str
    device_id: str
    revision: str
    subsystem: str
    driver: str


def lspci() -> dict[str, Listed]:
    """Give every device as lspci lists it, by address."""
    text = subprocess.run(["lspci", "-Dnnk"], capture_output=True, text=True, check=True).stdout
    return {listed.address: listed for listed in map(parse_block, re.split(r"\n(?=\S)", text.strip()))}


def parse_block(block: str) -> Listed:
    """Read one device of `lspci -Dnnk`; raise ValueError for anything else."""
    head, *rest = block.splitlines()
    found = re.fullmatch(
        r"(\S+) (.*?) \[([0-9a-f]{4})\]: .*\[([0-9a-f]{4}):([0-9a-f]{4})\](?: \(rev ([0-9a-f]{2})\))?", head
    )
    if not found:
        raise ValueError(head)
    address, class_name, class_code, vendor, device, revision = found.groups()
    subsystem = re.search(r"^\tSubsystem: .*\[(\S+)\]$", block, re.MULTILINE)
    driver = next((line.partition(": ")[2] for line in rest if "Kernel driver in use" in line), "")
    named = subsystem.group(1) if subsystem else ""
    return Listed(address, class_name, class_code, vendor, device, revision or "00", named, driver)


def iommu_groups() -> dict[int, frozenset[str]]:
    """Give the kernel's groups with the addresses of their members."""
    folders = GROUPS.iterdir() if GROUPS.exists() else iter(())
    return {
        int(folder.name): frozenset(member.name for member in (folder / "devices").iterdir())
        for folder in folders
    }


def group_of(address: str) -> int:
    """Give the number of a device's group."""
    return int(os.readlink(f"{DEVICES}/{address}/iommu_group").rpartition("/")[2])


def driver_of(address: str) -> str:
    """Give the name of the driver that has a device now, "" for none."""
    try:
        return os.readlink(f"{DEVICES}/{address}/driver").rpartition("/")[2]
    except FileNotFoundError:
        return ""


def is_bridge(address: str) -> bool:
    """Tell whether a device has a bridge's header, which vfio-pci refuses (K13)."""
    return (DEVICES / address / "config").read_bytes()[0x0E] & 0x7F != 0


def write(path: Path, value: str) -> None:
    """Write one attribute in one call, so that the kernel's errno arrives here."""
    with path.open("wb", buffering=0) as attribute:
        attribute.write(value.encode("ascii"))


def unbind(address: str) -> None:
    """Take a device from its driver; nothing happens without one."""
    if driver := driver_of(address):
        write(DRIVERS / driver / "unbind", address)


def bind(address: str, driver: str) -> None:
    """Give a driverless device to a driver, through its override as vfio-pci needs it (K11)."""
    write(DEVICES / address / "driver_override", driver)
    write(DRIVERS / driver / "bind", address)


def clear_override(address: str) -> None:
    """Take a device's override away; an empty write would do nothing (K8)."""
    write(DEVICES / address / "driver_override", "\n")


def modprobe(*modules: str) -> None:
    """Load modules and what they need."""
    subprocess.run(["modprobe", "--all", *modules], check=True)


@contextmanager
def given_to_vfio(addresses: Iterable[str]) -> Iterator[None]:
    """Have devices on vfio-pci, and back on the drivers they came from afterwards.

    All are driverless before the first is bound: an EHCI controller's driver, when it goes, writes into
    what it takes for the USB data of its UHCI companions; were those on vfio-pci, the kernel would crash.
    """
    modprobe("vfio-pci", "vfio_iommu_type1")
    before = {address: driver_of(address) for address in addresses}
    try:
        for address in before:
            unbind(address)
        for address in before:
            bind(address, "vfio-pci")
        yield
    finally:
        give_back(before)


def give_back(before: dict[str, str]) -> None:
    """Put devices back on the drivers they came from, and wait until udev is done with them."""
    for address in before:
        unbind(address)
        clear_override(address)
    for address, driver in before.items():
        if driver and not driver_of(address):
            with suppress(FileExistsError):
                write(DRIVERS / driver / "bind", address)
    settle()


def settle() -> None:
    """Wait until udev has handled what the kernel has told it."""
    subprocess.run(["udevadm", "settle", f"--timeout={SETTLED:.0f}"], check=True)


def wait_until(condition: Callable[[], bool], what: str, deadline: float = SETTLED) -> None:
    """Wait for a condition, never for a time; raise TimeoutError naming it."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.05)
