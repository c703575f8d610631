"""The machine is what its topology says: devices where they belong, drivers loaded, groups as the IOMMU makes them."""

from __future__ import annotations

import subprocess
from pathlib import Path
import os
from tests.lab.topology import Topology


def test_lspci(topology: Topology) -> None:
    """Trivial."""
    out = subprocess.run(["lspci", "-Dnnk"], capture_output=True, text=True).stdout
    out += subprocess.run(["sh","-c","for g in $(ls /sys/kernel/iommu_groups|sort -n); do echo group $g $(ls /sys/kernel/iommu_groups/$g/devices); done; ip a; ip r; lsmod; cat /proc/uptime; free -m; ls /sys/class/input /sys/class/drm /dev/input; grep . /sys/bus/pci/devices/*/numa_node /sys/bus/pci/devices/*/boot_vga /sys/bus/pci/devices/*/sriov_totalvfs"], capture_output=True, text=True).stdout
    from tests.lab.guest import channel
    channel.bring_back("lspci.txt", out.encode())
