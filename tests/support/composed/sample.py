"""The sample host inside the package: each common obstacle once, on one machine."""

from __future__ import annotations

from tests.support.composed.desktops import (
    AUDIO,
    EFI_IOMEM,
    GPU,
    GPU_BARS,
    HOST,
    ISA,
    MULTIMEDIA,
    NIC,
    NVME,
    SATA,
    SERIAL,
    SMBUS,
    USB,
    dmar,
    efi_framebuffer,
    nvme,
    udev,
)
from tests.support.config_space import PCIE_TO_PCI
from tests.support.ready import BUILT, EDITED, EVERYBODY, IMAGE, ROOT_ONLY, VFIO_CONF, settle
from tests.support.tree import HostTree
from vfioctl.model.facts import Stamp
from vfioctl.model.paths import AUTOPROBE, FIRMWARE_TABLES


def sample() -> HostTree:
    """Compose a workstation that is also a small server: one GPU has the console, the other runs in a VM."""
    tree = HostTree(kernel="6.12.48+deb13-amd64")
    tree.device(
        "0000:00:00.0", "8086:4660:1043:8694", HOST, revision=2, group=0, numa=0, pcie=None, reset=None
    )
    _graphics(tree)
    tree.bridge("0000:00:06.0", 3, ids="8086:464d", group=3, revision=2, numa=0)
    tree.device(
        "0000:03:00.0", "144d:a80a:144d:a801", NVME, parent="0000:00:06.0", driver="nvme", group=4, numa=0
    )
    nvme(tree, "0000:03:00.0", 0, partitions=3)
    tree.device(
        "0000:00:14.0",
        "8086:7ae0:1043:8694",
        USB,
        driver="xhci_hcd",
        group=5,
        revision=0x11,
        numa=0,
        pcie=None,
    )
    tree.device(
        "0000:00:17.0",
        "8086:7ae2:1043:8694",
        SATA,
        driver="ahci",
        group=6,
        revision=0x11,
        numa=0,
        pcie=None,
        reset=None,
    )
    disk = f"{tree.path('0000:00:17.0')}/ata1/host0/target0:0:0/0:0:0:0/block"
    tree.block("sda", "8:0", disk)
    udev(tree, "8:0", ID_FS_TYPE="zfs_member", ID_FS_LABEL="backup")
    for function, ids, class_code, driver in (
        (0, "8086:7a84:1043:8694", ISA, None),
        (3, "8086:7ad0:1043:8797", AUDIO, "snd_hda_intel"),
        (4, "8086:7aa3:1043:8694", SMBUS, "i801_smbus"),
    ):
        tree.device(
            f"0000:00:1f.{function}",
            ids,
            class_code,
            driver=driver,
            group=7,
            revision=0x11,
            numa=0,
            pcie=None,
            reset=None,
        )
    _network(tree)
    _conventional(tree)
    tree.mounts(("259:2", "/", "/dev/nvme0n1p2", "ext4"), ("259:1", "/boot/efi", "/dev/nvme0n1p1", "vfat"))
    tree.swaps("/dev/nvme0n1p3")
    tree.process(
        2718, ["/usr/bin/qemu-system-x86_64", "-name", "guest=win11,debug-threads=on"], {24: "/dev/vfio/2"}
    )
    tree.file("/proc/iomem", EFI_IOMEM).file(
        "/sys/kernel/security/lockdown", "[none] integrity confidentiality\n"
    )
    return _files(dmar(efi_framebuffer(tree)))


def _files(tree: HostTree) -> HostTree:
    """Add what doctor reads: a word on the command line that does nothing, an old initramfs, link errors."""
    words = "intel_iommu=on pcie_acs_override=downstream"
    tree.file("/proc/cmdline", f"{words}\n").file("/etc/default/grub", f'GRUB_CMDLINE_LINUX="{words}"\n')
    tree.file("/proc/interrupts", "0: IR-IO-APIC\n0: IR-PCI-MSI\n").file(AUTOPROBE, "1\n")
    tree.file("/proc/meminfo", "MemTotal:       65536000 kB\n").file(f"{FIRMWARE_TABLES}/DMAR", b"")
    tree.file(VFIO_CONF, "softdep nvidia pre: vfio-pci\n").file(IMAGE, b"")
    tree.file("/etc/security/limits.conf", "@kvm - memlock 8388608\n")
    for address, errors in (("0000:02:00.0", 1412), ("0000:02:00.1", 0)):
        tree.attributes(
            address,
            aer_dev_correctable=f"TOTAL_ERR_COR {errors}",
            aer_dev_nonfatal="TOTAL_ERR_NONFATAL 0",
            aer_dev_fatal="TOTAL_ERR_FATAL 0",
            d3cold_allowed="1",
        )
    nodes = {"/dev/vfio/vfio": EVERYBODY, "/dev/vfio/2": Stamp(64055, 64055, 0o600, BUILT)}
    nodes["/dev/vfio/18"] = ROOT_ONLY
    return settle(tree, {**nodes, IMAGE: ROOT_ONLY._replace(changed=EDITED), VFIO_CONF: ROOT_ONLY})


def _graphics(tree: HostTree) -> None:
    """Add two cards, each with its audio: on the console behind a port without ACS, and in a VM."""
    tree.bridge("0000:00:01.0", 1, ids="8086:460d", acs=False, group=1, revision=2, numa=0)
    tree.device(
        "0000:01:00.0",
        "10de:2204:1043:87d9",
        GPU,
        parent="0000:00:01.0",
        driver="nvidia",
        group=1,
        revision=0xA1,
        numa=0,
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
        numa=0,
    )
    tree.link(
        "/sys/class/devlink/pci:0000:01:00.0--pci:0000:01:00.1", "/sys/devices/virtual/devlink/gpu-audio"
    )
    tree.bridge("0000:00:01.1", 2, ids="8086:463d", group=15, revision=2, numa=0)
    tree.device(
        "0000:02:00.0",
        "10de:2484:1458:4074",
        GPU,
        parent="0000:00:01.1",
        group=2,
        revision=0xA1,
        numa=0,
        boot_vga=False,
        power="D0",
    )
    tree.device(
        "0000:02:00.1", "10de:228b:1458:4074", AUDIO, parent="0000:00:01.1", group=2, revision=0xA1, numa=0
    )
    tree.vfio("0000:02:00.0", 0).vfio("0000:02:00.1", 1)
    tree.slot("1", "0000:01:00").slot("2", "0000:02:00").slot("4", "0000:05:00")


def _network(tree: HostTree) -> None:
    """Add the port with the default route, and a card with two ports whose first is split into four."""
    tree.bridge("0000:00:1c.0", 4, ids="8086:7ab8", group=8, revision=0x11, numa=0)
    tree.device(
        "0000:04:00.0",
        "8086:15f3:1043:87d2",
        NIC,
        parent="0000:00:1c.0",
        driver="igc",
        group=9,
        revision=3,
        numa=0,
    )
    tree.bridge("0000:00:1b.0", 5, ids="8086:7ac8", group=10, revision=0x11, numa=0)
    ports = ["0000:05:00.0", "0000:05:00.1"]
    for index, port in enumerate(ports):
        tree.device(
            port,
            "8086:1572:8086:0001",
            NIC,
            parent="0000:00:1b.0",
            driver="i40e",
            group=11 + index,
            revision=2,
            numa=0,
            acs=True,
        )
    virtual = [f"0000:05:02.{index}" for index in range(4)]
    for index, function in enumerate(virtual):
        tree.device(
            function,
            "8086:154c:8086:0000",
            NIC,
            parent="0000:00:1b.0",
            driver="iavf" if index < 2 else None,
            group=16 + index,
            revision=2,
            numa=0,
            virtual_function=True,
            reset="flr",
        )
    tree.virtual_functions(ports[0], 64, virtual).virtual_functions(ports[1], 64)
    tree.vfio(virtual[2], 2)
    tree.net("enp4s0", "0000:04:00.0").net("enp5s0f0", ports[0]).net("enp5s0f1", ports[1], up=False)
    tree.net("enp5s0f0v0", virtual[0], up=False).net("enp5s0f0v1", virtual[1], up=False)
    tree.net("br0").enslave("enp5s0f0", "br0")
    tree.network({"enp4s0": ["192.0.2.20/24", "2001:db8:1::20/64"]}, default="enp4s0")


def _conventional(tree: HostTree) -> None:
    """Add a conventional bridge that shpchp holds, with two cards behind it (K19)."""
    tree.bridge("0000:00:1d.0", 6, 7, ids="8086:7ab0", group=13, revision=0x11, numa=0)
    tree.bridge(
        "0000:06:00.0",
        7,
        ids="104c:8231",
        parent="0000:00:1d.0",
        driver="shpchp",
        group=14,
        revision=3,
        numa=0,
        pcie=PCIE_TO_PCI,
        acs=False,
    )
    tree.device(
        "0000:07:04.0",
        "1131:7146:13c2:1003",
        MULTIMEDIA,
        parent="0000:06:00.0",
        group=14,
        numa=0,
        pcie=None,
        reset="pm bus",
    )
    tree.device(
        "0000:07:05.0",
        "9710:9865:a000:1000",
        SERIAL,
        parent="0000:06:00.0",
        driver="serial",
        group=14,
        numa=0,
        pcie=None,
        reset="pm bus",
    )
