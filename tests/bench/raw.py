"""The physical limit: the reads of a scan, and nothing else.

Run as a script with a root: prints the seconds that the bare system calls take, without a line of logic.
"""

from __future__ import annotations

import os
import sys
import time

ATTRIBUTES = (
    "modalias",
    "power_state",
    "config",
    "numa_node",
    "reset_method",
    "resource",
    "driver_override",
)


def read_all(root: str) -> float:
    """Read what a scan reads of every device and group; return the seconds it took."""
    started = time.perf_counter()
    devices = f"{root}/sys/bus/pci/devices"
    for name in os.listdir(devices):
        folder = os.open(f"{devices}/{name}", os.O_RDONLY | os.O_DIRECTORY)
        for link in ("driver", "iommu_group"):
            try:
                os.readlink(link, dir_fd=folder)
            except OSError:
                continue
        for attribute in ATTRIBUTES:
            descriptor = os.open(attribute, os.O_RDONLY, dir_fd=folder)
            os.read(descriptor, 4096)
            os.close(descriptor)
        os.close(folder)
    groups = f"{root}/sys/kernel/iommu_groups"
    for name in os.listdir(groups):
        os.listdir(f"{groups}/{name}/devices")
        for attribute in ("type", "reserved_regions"):
            descriptor = os.open(f"{groups}/{name}/{attribute}", os.O_RDONLY)
            os.read(descriptor, 4096)
            os.close(descriptor)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.stdout.write(f"{min(read_all(sys.argv[1]) for _ in range(5)):.6f}\n")
