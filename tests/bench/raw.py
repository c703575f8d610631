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
    "driver_override",
)
ASKED_FOR = ("sriov_totalvfs", "physfn", "max_link_speed", "mdev_supported_types")
"""Of these it only matters whether they are there."""


def read_all(root: str) -> float:
    """Read what a scan reads of every device and group; return the seconds it took."""
    started = time.perf_counter()
    devices = f"{root}/sys/bus/pci/devices"
    for name in os.listdir(devices):
        folder = os.open(f"{devices}/{name}", os.O_RDONLY | os.O_DIRECTORY)
        os.readlink(f"{devices}/{name}")
        for name_inside in ASKED_FOR:
            os.access(name_inside, os.F_OK, dir_fd=folder, follow_symlinks=False)
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
        descriptor = os.open(f"{groups}/{name}/reserved_regions", os.O_RDONLY)
        os.read(descriptor, 4096)
        os.close(descriptor)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.stdout.write(f"{min(read_all(sys.argv[1]) for _ in range(5)):.6f}\n")
