"""Machines in a rack."""

from __future__ import annotations

from tests.support.composed.desktops import (
    GPU,
    HOST,
    ISA,
    NIC,
    NVME,
    SATA,
    USB,
    VGA,
    dmar,
    nvme,
    udev,
)
from tests.support.config_space import PCIE_TO_PCI, Bar
from tests.support.tree import HostTree

DISPLAY_3D, RAID, SYSTEM = 0x030200, 0x010400, 0x088000


def server() -> HostTree:
    """Compose a server: two NUMA nodes, an SR-IOV NIC under bond and bridge, a VM that holds two devices."""
    tree = HostTree(kernel="6.8.0-51-generic")
    tree.device("0000:00:00.0", "8086:2020:15d9:095d", HOST, numa=0, group=0, pcie=None, reset=None)
    tree.bridge("0000:00:1c.0", 2, 3, ids="8086:a195", numa=0, group=1)
    tree.device("0000:00:14.0", "8086:a1af:15d9:095d", USB, driver="xhci_hcd", numa=0, group=2, pcie=None)
    tree.device("0000:00:1f.0", "8086:a1c1:15d9:095d", ISA, numa=0, group=3, pcie=None, reset=None)
    tree.bridge(
        "0000:02:00.0",
        3,
        ids="1a03:1150",
        parent="0000:00:1c.0",
        driver=None,
        numa=0,
        group=4,
        pcie=PCIE_TO_PCI,
        acs=False,
        revision=4,
    )
    tree.device(
        "0000:03:00.0",
        "1a03:2000:15d9:095d",
        VGA,
        parent="0000:02:00.0",
        driver="ast",
        numa=0,
        group=4,
        revision=0x41,
        bars=(Bar(0x9C000000, 16 << 20),),
        boot_vga=True,
        pcie=None,
        reset=None,
    )
    tree.folder(f"{tree.path('0000:03:00.0')}/graphics/fb0")
    tree.link("/sys/class/graphics/fb0", f"{tree.path('0000:03:00.0')}/graphics/fb0")
    _network_card(tree)
    tree.bridge("0000:16:03.0", 0x19, ids="8086:2033", numa=0, group=12)
    tree.device(
        "0000:19:00.0", "8086:0b60:8086:8008", NVME, parent="0000:16:03.0", driver="nvme", numa=0, group=13
    )
    nvme(tree, "0000:19:00.0", 0, partitions=2)
    tree.bridge("0000:97:00.0", 0x98, ids="8086:2030", numa=1, group=20)
    tree.device(
        "0000:98:00.0",
        "10de:1eb8:10de:12a2",
        DISPLAY_3D,
        parent="0000:97:00.0",
        numa=1,
        group=21,
        revision=0xA1,
    ).vfio("0000:98:00.0", 0)
    tree.bridge("0000:97:02.0", 0x99, ids="8086:2032", numa=1, group=22)
    tree.device(
        "0000:99:00.0", "144d:a824:144d:a801", NVME, parent="0000:97:02.0", driver="nvme", numa=1, group=23
    )
    nvme(tree, "0000:99:00.0", 1, minor=3)
    tree.bridge("0000:97:03.0", 0x9A, ids="8086:2033", numa=1, group=24)
    tree.mounts(("259:2", "/", "/dev/nvme0n1p2", "xfs"), ("259:1", "/boot/efi", "/dev/nvme0n1p1", "vfat"))
    udev(tree, "259:3", ID_FS_TYPE="zfs_member", ID_FS_LABEL="tank")
    tree.swaps()
    tree.process(
        4242,
        ["/usr/bin/qemu-system-x86_64", "-name", "guest=db1,debug-threads=on"],
        {27: "/dev/vfio/21", 31: "/dev/vfio/17", 33: "/dev/kvm"},
    )
    tree.slot("1", "0000:17:00").slot("3", "0000:98:00").slot("5", "0000:9a:00")
    tree.file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    return dmar(tree, 2)


def _network_card(tree: HostTree) -> None:
    """Add two ports with eight VFs each at most; four made of the first, two of them on vfio-pci."""
    tree.bridge("0000:16:00.0", 0x17, ids="8086:2030", numa=0, group=10)
    ports = ["0000:17:00.0", "0000:17:00.1"]
    for index, port in enumerate(ports):
        tree.device(
            port,
            "8086:1592:8086:0002",
            NIC,
            parent="0000:16:00.0",
            driver="ice",
            numa=0,
            group=14 + index,
            revision=2,
            bars=(Bar(0x206000000000 + (index << 25), 32 << 20, prefetchable=True),),
            acs=True,
        )
    virtual = [f"0000:17:01.{index}" for index in range(4)]
    for index, function in enumerate(virtual):
        tree.device(
            function,
            "8086:1889:8086:0000",
            NIC,
            parent="0000:16:00.0",
            driver=None if index in {1, 3} else "iavf",
            numa=0,
            group=16 + index,
            revision=2,
            virtual_function=True,
            reset="flr",
        )
    tree.virtual_functions(ports[0], 8, virtual).virtual_functions(ports[1], 8)
    tree.vfio(virtual[1], 1).vfio(virtual[3], 2)
    tree.net("ens1f0np0", ports[0]).net("ens1f1np1", ports[1])
    tree.net("ens1f0v0", virtual[0], up=False).net("ens1f0v2", virtual[2])
    tree.net("bond0").net("br0").net("bond0.40")
    tree.enslave("ens1f0np0", "bond0").enslave("ens1f1np1", "bond0").enslave("bond0", "br0")
    tree.upper("bond0", "bond0.40")
    tree.network(
        {
            "br0": ["192.0.2.10/24", "2001:db8:2::10/64"],
            "bond0.40": ["198.51.100.10/24"],
            "ens1f0v2": ["203.0.113.9/24"],
        },
        default="br0",
    )


def vmd() -> HostTree:
    """Compose a host with disks behind Intel VMD: five-digit domain, and no group of their own (K51)."""
    tree = HostTree(kernel="6.12.48+deb13-amd64")
    tree.device("0000:00:00.0", "8086:9a14:1028:0a5c", HOST, group=0, pcie=None, reset=None)
    tree.device(
        "0000:00:0e.0",
        "8086:9a0b:1028:0a5c",
        RAID,
        driver="vmd",
        group=1,
        pcie=9,
        bars=(Bar(0x6000000000, 32 << 20), Bar(0x50000000, 32 << 20), Bar(0x6002000000, 1 << 20)),
    )
    tree.bridge("10000:e0:06.0", 0xE1, ids="8086:9a09", parent="0000:00:0e.0", group=1)
    tree.bridge("10000:e0:1d.0", 0xE2, ids="8086:a0b0", parent="0000:00:0e.0", group=1)
    for number, (port, bus) in enumerate((("06", "e1"), ("1d", "e2"))):
        address = f"10000:{bus}:00.0"
        tree.device(
            address,
            "144d:a80a:144d:a801",
            NVME,
            parent=f"10000:e0:{port}.0",
            driver="nvme",
            group=1,
            reset="flr",
        )
        nvme(tree, address, number, partitions=2 - number, minor=number * 4)
    tree.device("0000:00:1f.0", "8086:a082:1028:0a5c", ISA, group=2, pcie=None, reset=None)
    tree.device("0000:00:14.2", "8086:a0ef:1028:0a5c", 0x050000, group=3, pcie=None, reset=None)
    tree.mounts(("0:27", "/", "/dev/nvme0n1p2", "btrfs"), ("259:5", "/srv", "/dev/nvme1n1p1", "ext4")).swaps()
    return dmar(tree, 2)


def arm64() -> HostTree:
    """Compose an arm64 server: several domains, a group per device, and members that are not PCI."""
    tree = HostTree(kernel="6.8.0-51-generic-64k")
    msi = "0x0000000008000000 0x00000000080fffff msi\n"
    number = 0
    for domain, device, ids, class_code, driver in (
        ("0000", "0000:01:00", "15b3:101d:15b3:0016", NIC, "mlx5_core"),
        ("0002", "0002:01:00", "144d:a824:144d:a801", NVME, "nvme"),
        ("0004", "0004:01:00", "1a03:1150:1a03:1150", 0x060400, None),
        ("000c", "000c:01:00", "1912:0015:1912:0015", USB, "xhci_hcd"),
    ):
        root, port = f"{domain}:00:00.0", f"{domain}:00:01.0"
        tree.device(root, "1def:e100:1def:0000", HOST, numa=0, pcie=None, reset=None).group(
            root, number, reserved=msi
        )
        tree.bridge(port, 1, 2 if class_code == 0x060400 else 1, ids="1def:e101", numa=0)
        tree.group(port, number + 1, reserved=msi)
        if class_code == 0x060400:
            tree.bridge(
                f"{device}.0", 2, ids=ids[:9], parent=port, driver=driver, numa=0, pcie=PCIE_TO_PCI, acs=False
            )
        else:
            tree.device(f"{device}.0", ids, class_code, parent=port, driver=driver, numa=0)
        tree.group(f"{device}.0", number + 2, reserved=msi)
        number += 3
    tree.device(
        "0004:02:00.0",
        "1a03:2000:1a03:2000",
        VGA,
        parent="0004:01:00.0",
        driver="ast",
        numa=0,
        pcie=None,
        reset=None,
    ).group("0004:02:00.0", 8, reserved=msi)
    tree.device(
        "0000:01:00.1",
        "15b3:101d:15b3:0016",
        NIC,
        parent="0000:00:01.0",
        driver="mlx5_core",
        numa=0,
        acs=True,
    )
    tree.group("0000:01:00.1", number, reserved=msi)
    functions = [f"0000:01:00.{index}" for index in (2, 3)]
    for index, function in enumerate(functions):
        tree.device(
            function, "15b3:101e:15b3:0016", NIC, parent="0000:00:01.0", numa=0, virtual_function=True
        )
        tree.group(function, number + 1 + index, reserved=msi)
    tree.virtual_functions("0000:01:00.0", 16, functions)
    for name, driver, group in (("PNP0D10:00", "xhci-hcd", number + 3), ("APMC0D0F:00", None, number + 4)):
        path = f"/sys/devices/platform/{name}"
        tree.folder(path).group(path, group, reserved=msi)
        if driver is not None:
            tree.folder(f"/sys/bus/platform/drivers/{driver}")
            tree.link(f"{path}/driver", f"/sys/bus/platform/drivers/{driver}")
    for unit in ("smmu3.0x000023ffe0000000", "smmu3.0x000027ffe0000000"):
        tree.folder(f"/sys/devices/platform/iommu/{unit}")
        tree.link(f"/sys/class/iommu/{unit}", f"/sys/devices/platform/iommu/{unit}")
    nvme(tree, "0002:01:00.0", 0, partitions=2)
    tree.mounts(("259:2", "/", "/dev/nvme0n1p2", "ext4")).swaps()
    tree.net("enp1s0f0np0", "0000:01:00.0").net("enp1s0f1np1", "0000:01:00.1", up=False)
    return tree.network({"enp1s0f0np0": ["2001:db8:5::7/64"]}, default="enp1s0f0np0")


def nonroot() -> HostTree:
    """Compose the server once more, as an ordinary user sees it (K31)."""
    tree = server()
    for entry in tree.entries():
        path = entry.path
        if path.endswith("/config"):
            tree.file(path, tree.content(path)[:64])
    tree.file("/proc/iomem", "00000000-00000000 : System RAM\n00000000-00000000 : PCI Bus 0000:00\n")
    tree.deny("/proc/4242/fd")
    return tree


def multipath() -> HostTree:
    """Compose a host whose root disk is an NVMe namespace that two controllers lead to (K58)."""
    tree = HostTree(kernel="6.12.48+deb13-amd64")
    subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    tree.link("/sys/class/nvme-subsystem/nvme-subsys0", subsystem)
    for index, (port, bus) in enumerate((("0000:00:1c.0", 1), ("0000:00:1d.0", 2))):
        address = f"0000:{bus:02x}:00.0"
        tree.bridge(port, bus, group=index * 2)
        tree.device(address, "144d:a824:144d:a801", NVME, parent=port, driver="nvme", group=index * 2 + 1)
        controller = f"{tree.path(address)}/nvme/nvme{index}"
        hidden = f"nvme0c{index}n1"
        tree.file(f"{controller}/{hidden}/hidden", "1\n").link(
            f"/sys/class/block/{hidden}", f"{controller}/{hidden}"
        )
        tree.link(f"{subsystem}/nvme{index}", controller)
    tree.block("nvme0n1", "259:0", subsystem)
    for part in (1, 2, 3):
        tree.block(f"nvme0n1p{part}", f"259:{part}", f"{subsystem}/nvme0n1")
    tree.mounts(("259:2", "/", "/dev/nvme0n1p2", "ext4"), ("259:1", "/boot/efi", "/dev/nvme0n1p1", "vfat"))
    return dmar(tree.swaps("/dev/nvme0n1p3"))


def storage() -> HostTree:
    """Compose a host with its root on LVM on dm-crypt on RAID 1 on NVMe; ZFS and btrfs members on SATA."""
    tree = HostTree(kernel="6.6.63")
    for index, (port, bus) in enumerate((("0000:00:1c.0", 1), ("0000:00:1c.4", 2))):
        address = f"0000:{bus:02x}:00.0"
        tree.bridge(port, bus, group=index * 2, pcie=4)
        tree.device(address, "144d:a80a:144d:a801", NVME, parent=port, driver="nvme", group=index * 2 + 1)
        nvme(tree, address, index, partitions=2, minor=index * 3)
    tree.raid("md0", "9:0").holder("nvme0n1p2", "md0").holder("nvme1n1p2", "md0")
    tree.mapper("dm-0", "253:0", "md0_crypt").holder("md0", "dm-0")
    for minor, label in ((1, "vg-root"), (2, "vg-swap"), (3, "vg-vm--images")):
        tree.mapper(f"dm-{minor}", f"253:{minor}", label).holder("dm-0", f"dm-{minor}")
    tree.device("0000:00:17.0", "8086:a282:1849:a282", SATA, driver="ahci", group=4, pcie=None, reset=None)
    for index, disk in enumerate(("sda", "sdb", "sdc", "sdd")):
        below = (
            f"{tree.path('0000:00:17.0')}/ata{index + 1}/host{index}/target{index}:0:0/{index}:0:0:0/block"
        )
        tree.block(disk, f"8:{index * 16}", below)
    tree.block("sda1", "8:1", f"{tree.path('0000:00:17.0')}/ata1/host0/target0:0:0/0:0:0:0/block/sda")
    udev(tree, "8:1", ID_FS_TYPE="zfs_member", ID_FS_LABEL="tank")
    for number in ("8:16", "8:32"):
        udev(tree, number, ID_FS_TYPE="btrfs", ID_FS_UUID="0d5c8d5c-7f50-4f0f-8f52-8dd6b5b3f0aa")
    tree.mounts(
        ("253:1", "/", "/dev/mapper/vg-root", "ext4"),
        ("259:1", "/boot", "/dev/nvme0n1p1", "ext4"),
        ("0:52", "/srv/data\\040and\\040more", "/dev/sdb", "btrfs"),
        ("0:60", "/tank", "tank", "zfs"),
    )
    tree.device("0000:00:1f.0", "8086:a2c5:1849:a2c5", ISA, group=5, pcie=None, reset=None)
    tree.device("0000:00:02.0", "8086:5912:1849:5912", GPU, driver="i915", group=6, boot_vga=True, pcie=9)
    return dmar(tree.swaps("/dev/dm-2"))
