"""Machines under a desk or on a lap."""

from __future__ import annotations

from tests.support.config_space import PCIE_TO_PCI, Bar
from tests.support.tree import KEYBOARD, HostTree

GPU, VGA, AUDIO, NIC, WIFI = 0x030000, 0x030000, 0x040300, 0x020000, 0x028000
NVME, SATA, USB, HOST, ISA, SMBUS = 0x010802, 0x010601, 0x0C0330, 0x060000, 0x060100, 0x0C0500
COMMUNICATION, MEMORY, SPI, SERIAL, MULTIMEDIA, GAUSS = (
    0x078000,
    0x050000,
    0x0C8000,
    0x070002,
    0x040000,
    0x088000,
)

GPU_BARS = (
    Bar(0x50000000, 16 << 20),
    Bar(0x4000000000, 256 << 20, prefetchable=True),
    Bar(0x4010000000, 32 << 20, prefetchable=True),
)
EFI_IOMEM = """\
00001000-0009efff : System RAM
40000000-4fffffff : PCI Bus 0000:00
50000000-50ffffff : PCI Bus 0000:01
  50000000-50ffffff : 0000:01:00.0
100000000-103fffffff : System RAM
4000000000-4011ffffff : PCI Bus 0000:01
  4000000000-400fffffff : 0000:01:00.0
    4000000000-40007e8fff : BOOTFB
  4010000000-4011ffffff : 0000:01:00.0
"""
NO_IOMEM = "00000000-00000000 : System RAM\n00000000-00000000 : PCI Bus 0000:00\n"


def efi_framebuffer(tree: HostTree) -> HostTree:
    """Add the firmware's framebuffer, which belongs to no PCI function."""
    path = "/sys/devices/platform/efi-framebuffer.0/graphics/fb0"
    return tree.file(f"{path}/name", "EFI VGA\n").link("/sys/class/graphics/fb0", path)


def dmar(tree: HostTree, count: int = 1) -> HostTree:
    """Add Intel's remapping units."""
    for number in range(count):
        path = f"/sys/devices/virtual/iommu/dmar{number}"
        tree.folder(path).link(f"/sys/class/iommu/dmar{number}", path)
    return tree


def nvme(tree: HostTree, address: str, number: int, partitions: int = 0, minor: int = 0) -> HostTree:
    """Add the disk of an NVMe controller that is no multipath one."""
    disk = f"nvme{number}n1"
    below = f"{tree.path(address)}/nvme/nvme{number}"
    tree.block(disk, f"259:{minor}", below)
    for part in range(1, partitions + 1):
        tree.block(f"{disk}p{part}", f"259:{minor + part}", f"{below}/{disk}")
    return tree


def udev(tree: HostTree, number: str, **properties: str) -> HostTree:
    """Add what udev knows about a block device."""
    lines = "".join(f"E:{key}={value}\n" for key, value in properties.items())
    return tree.file(f"/run/udev/data/b{number}", lines)


def workstation() -> HostTree:
    """Compose a workstation: GPU and audio share a group with a root port without ACS; it has the console."""
    tree = HostTree(kernel="6.12.48+deb13-amd64")
    tree.device("0000:00:00.0", "8086:4660:1043:8694", HOST, revision=2, group=0, pcie=None)
    tree.bridge("0000:00:01.0", 1, ids="8086:460d", acs=False, group=1, revision=2)
    tree.bridge("0000:00:06.0", 2, ids="8086:464d", group=2, revision=2)
    tree.device(
        "0000:00:14.0", "8086:7ae0:1043:8694", USB, driver="xhci_hcd", group=3, revision=0x11, pcie=None
    )
    tree.device("0000:00:14.2", "8086:7aa7:1043:8694", MEMORY, group=3, revision=0x11, pcie=None, reset=None)
    tree.device("0000:00:16.0", "8086:7ae8:1043:8694", COMMUNICATION, driver="mei_me", group=4, pcie=None)
    tree.device("0000:00:17.0", "8086:7ae2:1043:8694", SATA, driver="ahci", group=5, revision=0x11, pcie=None)
    tree.bridge("0000:00:1c.0", 3, group=6, revision=0x11)
    tree.device("0000:00:1f.0", "8086:7a84:1043:8694", ISA, group=7, revision=0x11, pcie=None, reset=None)
    tree.device(
        "0000:00:1f.3",
        "8086:7ad0:1043:8797",
        AUDIO,
        driver="snd_hda_intel",
        group=7,
        revision=0x11,
        pcie=None,
        reset=None,
    )
    tree.device(
        "0000:00:1f.4", "8086:7aa3:1043:8694", SMBUS, driver="i801_smbus", group=7, pcie=None, reset=None
    )
    tree.device(
        "0000:00:1f.5", "8086:7aa4:1043:8694", SPI, driver="intel-spi", group=7, pcie=None, reset=None
    )
    tree.device(
        "0000:01:00.0",
        "10de:2204:1043:87d9",
        GPU,
        parent="0000:00:01.0",
        driver="nvidia",
        group=1,
        revision=0xA1,
        bars=GPU_BARS,
        boot_vga=True,
    )
    tree.device(
        "0000:01:00.1",
        "10de:1aef:1043:87d9",
        AUDIO,
        parent="0000:00:01.0",
        driver="snd_hda_intel",
        group=1,
        revision=0xA1,
    )
    tree.link(
        "/sys/class/devlink/pci:0000:01:00.0--pci:0000:01:00.1", "/sys/devices/virtual/devlink/gpu-audio"
    )
    tree.device("0000:02:00.0", "144d:a80a:144d:a801", NVME, parent="0000:00:06.0", driver="nvme", group=8)
    tree.device(
        "0000:03:00.0", "8086:15f3:1043:87d2", NIC, parent="0000:00:1c.0", driver="igc", group=9, revision=3
    )
    nvme(tree, "0000:02:00.0", 0, partitions=3)
    udev(tree, "259:2", ID_FS_TYPE="ext4", ID_FS_UUID="5f1c1b5e-6a1b-4a56-9f2e-3f8d6f0b1c11")
    tree.mounts(("259:2", "/", "/dev/nvme0n1p2", "ext4"), ("259:1", "/boot/efi", "/dev/nvme0n1p1", "vfat"))
    tree.swaps("/dev/nvme0n1p3")
    tree.net("enp3s0", "0000:03:00.0").network(
        {"enp3s0": ["192.0.2.20/24", "2001:db8:1::20/64"]}, default="enp3s0"
    )
    tree.slot("1", "0000:01:00").slot("2", "0000:02:00")
    receiver = f"{tree.path('0000:00:14.0')}/usb1/1-3/1-3:1.1/0003:046D:C52B.0003"
    tree.input(5, f"{receiver}/0003:046D:4024.0004", "Logitech K400", KEYBOARD, mouse=0)
    tree.drm("0000:01:00.0", 1, 128, DP_1="connected", HDMI_A_1="disconnected")
    tree.module("nvidia", "nvidia", users=97)
    tree.process(
        2310, ["/usr/lib/xorg/Xorg"], {9: "/dev/nvidiactl", 10: "/dev/nvidia0", 11: "/dev/dri/card1"}
    )
    tree.process(2954, ["/usr/bin/firefox"], {31: "/dev/dri/renderD128"})
    tree.file("/proc/iomem", EFI_IOMEM).file(
        "/sys/kernel/security/lockdown", "[none] integrity confidentiality\n"
    )
    return dmar(efi_framebuffer(tree))


def laptop() -> HostTree:
    """Compose a laptop whose kernel has no IOMMU support: there is no folder of groups at all."""
    tree = HostTree(kernel="6.8.12-custom")
    tree.remove("/sys/kernel/iommu_groups").remove("/sys/kernel")
    tree.device("0000:00:00.0", "8086:3e34:17aa:2292", HOST, revision=0xC, pcie=None, reset=None)
    tree.device(
        "0000:00:02.0",
        "8086:3ea0:17aa:2292",
        VGA,
        driver="i915",
        revision=2,
        bars=(Bar(0x81000000, 16 << 20), Bar(0x90000000, 256 << 20, prefetchable=True)),
        boot_vga=True,
        pcie=9,
    )
    tree.device("0000:00:14.0", "8086:34ed:17aa:2292", USB, driver="xhci_hcd", pcie=None)
    tree.bridge("0000:00:1d.0", 5, ids="8086:9dbc")
    tree.bridge("0000:00:1d.4", 8, ids="8086:9dbc")
    tree.device("0000:00:1f.0", "8086:9d84:17aa:2292", ISA, pcie=None, reset=None)
    tree.device("0000:00:1f.3", "8086:9dc8:17aa:2292", AUDIO, driver="snd_hda_intel", pcie=None, reset=None)
    tree.device(
        "0000:05:00.0", "8086:2723:8086:0084", WIFI, parent="0000:00:1d.0", driver="iwlwifi", revision=0x1A
    )
    tree.device("0000:08:00.0", "144d:a808:144d:a801", NVME, parent="0000:00:1d.4", driver="nvme", power="D0")
    nvme(tree, "0000:08:00.0", 0, partitions=2)
    tree.mounts(("259:2", "/", "/dev/nvme0n1p2", "ext4")).swaps()
    tree.net("wlp5s0", "0000:05:00.0").network({"wlp5s0": ["198.51.100.33/24"]}, default="wlp5s0")
    tree.drm("0000:00:02.0", 0, 128, eDP_1="connected", DP_1="disconnected").module("i915", "i915", users=31)
    tree.process(1804, ["/usr/bin/gnome-shell"], {8: "/dev/dri/card0", 9: "/dev/dri/renderD128"})
    tree.link("/sys/class/graphics/fb0", f"{tree.path('0000:00:02.0')}/graphics/fb0")
    tree.folder(f"{tree.path('0000:00:02.0')}/graphics/fb0")
    return tree


def empty_groups() -> HostTree:
    """Compose a host whose IOMMU is off in the firmware: the folder of groups is there and empty (K22)."""
    tree = HostTree(kernel="6.1.0-39-amd64")
    tree.folder("/sys/class/iommu")
    tree.device("0000:00:00.0", "8086:591f:1849:191f", HOST, revision=5, pcie=None, reset=None)
    tree.device("0000:00:14.0", "8086:a2af:1849:a2af", USB, driver="xhci_hcd", pcie=None)
    tree.device("0000:00:17.0", "8086:a282:1849:a282", SATA, driver="ahci", pcie=None, reset=None)
    tree.device("0000:00:1f.0", "8086:a2c5:1849:a2c5", ISA, pcie=None, reset=None)
    tree.bridge("0000:00:1c.0", 1, ids="8086:a290")
    tree.device(
        "0000:01:00.0", "10ec:8168:1849:8168", NIC, parent="0000:00:1c.0", driver="r8169", revision=0x15
    )
    disk = f"{tree.path('0000:00:17.0')}/ata1/host0/target0:0:0/0:0:0:0/block"
    tree.block("sda", "8:0", disk).block("sda1", "8:1", f"{disk}/sda")
    tree.mounts(("8:1", "/", "/dev/sda1", "ext4")).swaps()
    return tree.net("enp1s0", "0000:01:00.0").network({"enp1s0": ["203.0.113.5/24"]}, default="enp1s0")


def legacy() -> HostTree:
    """Compose a host with a conventional bridge on shpchp, which holds its group back since 5.19 (K19)."""
    tree = HostTree(kernel="6.1.0-39-amd64")
    tree.device("0000:00:00.0", "8086:591f:1849:191f", HOST, revision=5, group=0, pcie=None, reset=None)
    tree.bridge("0000:00:1c.0", 1, 2, ids="8086:a290", group=1)
    tree.bridge(
        "0000:01:00.0",
        2,
        ids="104c:8231",
        parent="0000:00:1c.0",
        driver="shpchp",
        group=2,
        pcie=PCIE_TO_PCI,
        acs=False,
        revision=3,
    )
    tree.device(
        "0000:02:04.0",
        "1131:7146:13c2:1003",
        MULTIMEDIA,
        parent="0000:01:00.0",
        group=2,
        pcie=None,
        reset="pm bus",
    ).vfio("0000:02:04.0", 0)
    tree.device(
        "0000:02:05.0",
        "9710:9865:a000:1000",
        SERIAL,
        parent="0000:01:00.0",
        group=2,
        pcie=None,
        reset="pm bus",
    )
    tree.bridge("0000:00:1e.0", 3, ids="8086:244e", driver=None, group=3, pcie=None, acs=False)
    tree.device(
        "0000:03:00.0", "10ec:8168:1849:8168", NIC, parent="0000:00:1e.0", driver="r8169", group=3, pcie=None
    )
    tree.device("0000:00:17.0", "8086:a282:1849:a282", SATA, driver="ahci", group=4, pcie=None, reset=None)
    tree.net("enp3s0", "0000:03:00.0", up=False)
    return dmar(tree)


def mdev() -> HostTree:
    """Compose a host whose GPU makes mediated devices, one of them made, on a kernel from before 5.19."""
    tree = HostTree(kernel="5.15.0-91-generic")
    uuid = "4b20d080-1b54-4048-85b3-a6a62d165c01"
    tree.device("0000:00:00.0", "8086:591f:1849:191f", HOST, revision=5, group=0, pcie=None, reset=None)
    tree.device(
        "0000:00:02.0",
        "8086:5912:1849:5912",
        VGA,
        driver="i915",
        group=1,
        revision=4,
        bars=(Bar(0xDE000000, 16 << 20), Bar(0xC0000000, 256 << 20, prefetchable=True)),
        boot_vga=True,
        pcie=9,
    )
    gpu = tree.path("0000:00:02.0")
    for kind, free in (("i915-GVTg_V5_4", 1), ("i915-GVTg_V5_8", 2)):
        folder = f"{gpu}/mdev_supported_types/{kind}"
        tree.file(f"{folder}/available_instances", f"{free}\n").file(f"{folder}/device_api", "vfio-pci\n")
        tree.file(f"{folder}/description", "low_gm_size: 64MB\nhigh_gm_size: 384MB\nfence: 4\n")
    made = f"{gpu}/{uuid}"
    tree.folder(made).link(f"{made}/mdev_type", f"{gpu}/mdev_supported_types/i915-GVTg_V5_4")
    tree.folder("/sys/bus/mdev/drivers/vfio_mdev").link(f"{made}/driver", "/sys/bus/mdev/drivers/vfio_mdev")
    tree.group(made, 5).link(f"/sys/bus/mdev/devices/{uuid}", made)
    tree.folder("/sys/devices/virtual/vfio/5").link("/sys/class/vfio/5", "/sys/devices/virtual/vfio/5")
    tree.process(
        3120, ["/usr/bin/qemu-system-x86_64", "-name", "guest=cad,debug-threads=on"], {21: "/dev/vfio/5"}
    )
    tree.device("0000:00:14.0", "8086:a2af:1849:a2af", USB, driver="xhci_hcd", group=2, pcie=None)
    tree.device("0000:00:08.0", "8086:5911:1849:5911", GAUSS, group=3, pcie=None, reset=None)
    return dmar(tree)


def dead() -> HostTree:
    """Compose a host with a GPU that fell off the bus: its configuration space reads as ones (K46)."""
    tree = HostTree(kernel="6.6.63-1-lts")
    tree.bridge("0000:00:01.0", 1, ids="8086:460d", group=0)
    tree.device(
        "0000:01:00.0",
        "1002:73bf:1da2:e438",
        GPU,
        parent="0000:00:01.0",
        group=1,
        revision=0xC1,
        boot_vga=False,
        power="D3cold",
    )
    tree.vfio("0000:01:00.0", 0, cdev="511:0").attributes("0000:01:00.0", power_state="unknown")
    tree.device(
        "0000:01:00.1",
        "1002:ab28:1002:ab28",
        AUDIO,
        parent="0000:00:01.0",
        driver="snd_hda_intel",
        group=1,
        power="error",
    )
    tree.dead("0000:01:00.0").dead("0000:01:00.1")
    tree.device("0000:00:14.0", "8086:7ae0:1043:8694", USB, driver="xhci_hcd", group=3, pcie=None)
    tree.link("/sys/class/misc/iommu", "/sys/devices/virtual/misc/iommu").folder(
        "/sys/devices/virtual/misc/iommu"
    )
    return dmar(tree)
