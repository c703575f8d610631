"""Large hosts for measuring: folders with what a kernel shows of each device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Model(NamedTuple):
    """A kind of device that a large host has many of."""

    vendor: int
    device: int
    class_code: int
    driver: str | None


MODELS = (
    Model(0x8086, 0x10ED, 0x020000, "ixgbevf"),
    Model(0x15B3, 0x101E, 0x020000, "mlx5_core"),
    Model(0x8086, 0x0A54, 0x010802, "nvme"),
    Model(0x10DE, 0x2204, 0x030200, "vfio-pci"),
    Model(0x8086, 0x2030, 0x060400, "pcieport"),
    Model(0x1AF4, 0x1041, 0x020000, None),
)

# Attributes that every device folder has and nobody here reads: listing them costs all tools alike.
UNREAD = [
    "ari_enabled",
    "broken_parity_status",
    "consistent_dma_mask_bits",
    "current_link_speed",
    "current_link_width",
    "d3cold_allowed",
    "dma_mask_bits",
    "enable",
    "local_cpulist",
    "local_cpus",
    "max_link_speed",
    "max_link_width",
    "msi_bus",
    "remove",
    "rescan",
    "reset",
    "uevent",
    "resource0",
    "resource3",
]


def make_tree(folder: Path, count: int) -> Path:
    """Make a host with this many devices, each in a group of its own."""
    pci = folder / "sys/bus/pci"
    # dpdk-devbind.py wants to see a module that it could bind to.
    for place in (pci / "devices", folder / "proc/sys/kernel", folder / "sys/module/vfio_pci"):
        place.mkdir(parents=True)
    (folder / "proc/sys/kernel/osrelease").write_text("6.12.0\n")
    for number in range(count):
        make_device(folder, MODELS[number % len(MODELS)], number)
    return folder


def make_device(folder: Path, model: Model, number: int) -> Path:
    """Make a device in a group of its own, and return its folder."""
    # 32 slots of 8 functions fill a bus; bus 0 is left to what a board has.
    name = f"0000:{1 + number // 256:02x}:{number // 8 % 32:02x}.{number % 8}"
    device = folder / "sys/devices/pci0000:00" / name
    device.mkdir(parents=True)
    for attribute, value in _attributes(model, number).items():
        (device / attribute).write_bytes(value)
    group = folder / f"sys/kernel/iommu_groups/{number}"
    (group / "devices").mkdir(parents=True)
    (group / "type").write_text("DMA-FQ\n")
    (group / "reserved_regions").write_text("0x00000000fee00000 0x00000000feefffff msi\n")
    os.symlink(f"../../../../devices/pci0000:00/{name}", group / "devices" / name)
    os.symlink(f"../../../kernel/iommu_groups/{number}", device / "iommu_group")
    if model.driver:
        os.symlink(f"../../../bus/pci/drivers/{model.driver}", device / "driver")
    os.symlink("../../../bus/pci", device / "subsystem")
    os.symlink(f"../../../devices/pci0000:00/{name}", folder / "sys/bus/pci/devices" / name)
    return device


def _attributes(model: Model, number: int) -> dict[str, bytes]:
    vendor, device, class_code = f"{model.vendor:04x}", f"{model.device:04x}", f"{model.class_code:06x}"
    base, sub, interface = class_code[:2], class_code[2:4], class_code[4:]
    modalias = (
        f"pci:v0000{vendor.upper()}d0000{device.upper()}sv0000{vendor.upper()}sd00000001"
        f"bc{base}sc{sub}i{interface}\n"
    )
    start = 0x3800_0000_0000 + number * 0x10000
    line = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    values = {
        "vendor": f"0x{vendor}\n",
        "device": f"0x{device}\n",
        "subsystem_vendor": f"0x{vendor}\n",
        "subsystem_device": "0x0001\n",
        "class": f"0x{class_code}\n",
        "revision": "0x01\n",
        "modalias": modalias,
        "irq": "16\n",
        "numa_node": f"{number % 2}\n",
        "resource": f"0x{start:016x} 0x{start + 0xFFFF:016x} 0x000000000014220c\n" + line * 12,
        "power_state": "D0\n",
        "driver_override": "(null)\n",
        "reset_method": "flr bus\n",
        **dict.fromkeys(UNREAD, ""),
    }
    return {**{name: text.encode() for name, text in values.items()}, "config": _config(model)}


def _config(model: Model) -> bytes:
    config = bytearray(256)
    config[0:2] = model.vendor.to_bytes(2, "little")
    config[2:4] = model.device.to_bytes(2, "little")
    config[8:12] = bytes([1]) + model.class_code.to_bytes(3, "little")
    config[0x0E] = 1 if model.class_code >> 8 == 0x0604 else 0
    if not config[0x0E]:
        config[0x2C:0x30] = config[0:2] + bytes([1, 0])
    return bytes(config)
