"""A host that is ready for passthrough in every respect, to be spoilt in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.config_space import Bar
from tests.support.tree import HostTree
from vfioctl.model import paths
from vfioctl.model.facts import Stamp
from vfioctl.sysfs.facts_record import RECORD, Record, encode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KERNEL = "6.12.48+deb13-amd64"
MODULE_LISTS = f"/lib/modules/{KERNEL}"
GPU, AUDIO, NIC, TWIN = "0000:01:00.0", "0000:01:00.1", "0000:02:00.0", "0000:03:00.0"
QUIET = "TOTAL_ERR_{} 0"
BUILT, EDITED = 1_760_000_000, 1_750_000_000
IMAGE = f"/boot/initrd.img-{KERNEL}"
VFIO_CONF = "/etc/modprobe.d/vfio.conf"
EVERYBODY, ROOT_ONLY = Stamp(0, 0, 0o666, BUILT), Stamp(0, 0, 0o600, BUILT)


def ready(base: Path | str | None = None) -> HostTree:
    """Compose a host with a GPU and its audio function on vfio-pci, a NIC, and a second GPU."""
    tree = HostTree(base, kernel=KERNEL)
    _devices(tree)
    _kernel(tree)
    tree.file("/etc/default/grub", 'GRUB_CMDLINE_LINUX_DEFAULT="quiet intel_iommu=on"\n')
    tree.file("/boot/grub/grub.cfg", "\tlinux /vmlinuz root=/dev/sda1 quiet intel_iommu=on\n")
    tree.file(VFIO_CONF, "options vfio-pci disable_vga=1\n").file(
        "/etc/initramfs-tools/modules", "vfio_pci\n"
    )
    tree.file(IMAGE, b"").file("/etc/security/limits.conf", "qemu - memlock unlimited\n")
    return tree


def _devices(tree: HostTree) -> None:
    tree.bridge("0000:00:01.0", 1, group=1, acs=False)
    tree.device(
        GPU,
        "10de:2204:1043:87d9",
        0x030000,
        parent="0000:00:01.0",
        group=1,
        bars=[Bar(0x80000000, 256 << 20)],
    )
    tree.device(AUDIO, "10de:1aef:1043:87d9", 0x040300, parent="0000:00:01.0", group=1)
    tree.vfio(GPU, 0).vfio(AUDIO, 1)
    tree.bridge("0000:00:02.0", 2, group=2)
    tree.device(NIC, "8086:1521", parent="0000:00:02.0", driver="igb", group=3)
    tree.bridge("0000:00:03.0", 3, group=4)
    tree.device(TWIN, "10de:1eb8", 0x030200, parent="0000:00:03.0", driver="nvidia", group=5)
    for address in (GPU, AUDIO, NIC, TWIN):
        counters = {"correctable": "COR", "nonfatal": "NONFATAL", "fatal": "FATAL"}
        tree.attributes(
            address, **{f"aer_dev_{name}": QUIET.format(total) for name, total in counters.items()}
        )
        tree.attributes(address, d3cold_allowed="1", reset="")
    tree.link("/sys/class/iommu/dmar0", "/sys/devices/virtual/iommu/dmar0")
    tree.file("/sys/devices/virtual/iommu/dmar0/intel-iommu/ecap", "f020df\n")


def _kernel(tree: HostTree) -> None:
    tree.file("/proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 quiet intel_iommu=on\n")
    tree.file("/proc/interrupts", "  CPU0\n 24: 1 IR-PCI-MSI 0-edge igb\n")
    tree.file("/proc/meminfo", "MemTotal: 65536000 kB\nHugePages_Free: 0\nHugepagesize: 2048 kB\n")
    tree.file("/sys/firmware/acpi/tables/FACP", b"")
    tree.file("/sys/firmware/acpi/tables/DMAR", b"").file("/sys/bus/pci/drivers_autoprobe", "1\n")
    tree.file("/proc/modules", "vfio_pci 1 0 - Live 0x0\nvfio_iommu_type1 1 0 - Live 0x0\n")
    tree.file(f"{MODULE_LISTS}/modules.dep", "kernel/vfio-pci.ko:\nkernel/vfio_iommu_type1.ko:\n")
    tree.file(f"{MODULE_LISTS}/modules.builtin", "").file(f"{MODULE_LISTS}/modules.alias", "")


def stamped() -> dict[str, Stamp]:
    """Return owners, modes and dates as they are on such a host."""
    nodes = {paths.VFIO_NODE: EVERYBODY, "/dev/vfio/1": ROOT_ONLY}
    return {**nodes, VFIO_CONF: ROOT_ONLY._replace(changed=EDITED), IMAGE: ROOT_ONLY}


def settle(tree: HostTree, stamps: Mapping[str, Stamp]) -> HostTree:
    """Say, as a snapshot does, that what is not in the tree is not on the host."""
    there = {entry.path for entry in tree.entries()}
    wanted = {*paths.FILES, *paths.FOLDERS, paths.BOOT}
    for place in tree._paths.values():
        wanted.update(f"{place}/{name}" for name in (*paths.DEVICE_FILES, paths.RESET))
    return tree.file(RECORD, encode(Record(frozenset(wanted - there), stamps)))
