"""Large hosts whose devices are all on vfio-pci, as a node of a cluster has them, and their configuration."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.bench.trees import Model, make_device
from tests.plugin.kubelet.places import told

if TYPE_CHECKING:
    from pathlib import Path

VENDOR = 0x15B3
FIRST_MODEL = 0x1000


def make_vfio_tree(folder: Path, resources: int, devices: int) -> Path:
    """Make a host with so many devices of so many models, in groups of their own, with all nodes."""
    for place in (
        "sys/bus/pci/devices",
        "sys/bus/pci/drivers/vfio-pci",
        "proc/sys/kernel",
        "sys/class/vfio",
        "sys/class/vfio-dev",
        "sys/class/misc/iommu",
        "dev/vfio/devices",
    ):
        (folder / place).mkdir(parents=True)
    (folder / "proc/sys/kernel/osrelease").write_text("6.12.0\n")
    os.symlink("/dev/null", folder / "dev/vfio/vfio")
    for number in range(devices):
        model = Model(VENDOR, FIRST_MODEL + number * resources // devices, 0x020000, "vfio-pci")
        device = make_device(folder, model, number)
        open_to_vfio(folder, device, number)
    return folder


def open_to_vfio(folder: Path, device: Path, number: int) -> None:
    """Show what VFIO makes for a device: its own entry and node, and its group's."""
    cdev = device / "vfio-dev" / f"vfio{number}"
    cdev.mkdir(parents=True)
    (cdev / "dev").write_text(f"511:{number}\n")
    os.symlink(f"../../{cdev.relative_to(folder / 'sys')}", folder / f"sys/class/vfio-dev/vfio{number}")
    (folder / f"sys/class/vfio/{number}").mkdir()
    for node in (f"dev/vfio/{number}", f"dev/vfio/devices/vfio{number}"):
        os.symlink("/dev/null", folder / node)


def address_of(number: int) -> str:
    """Return what the device of this number is called."""
    return f"0000:{1 + number // 256:02x}:{number // 8 % 32:02x}.{number % 8}"


def name_of(number: int) -> str:
    """Return what the resource of this number is called."""
    return f"bench.example/r{number:03d}"


def configuration(folder: str, resources: int) -> str:
    """Return the configuration that gives each model a resource."""
    tables = [told(folder)]
    for number in range(resources):
        model = f"{VENDOR:04x}:{FIRST_MODEL + number:04x}"
        tables.append(f'[[resource]]\nname = "{name_of(number)}"\nselect = ["{model}"]\n')
    return "\n".join(tables)
