"""Hosts typed in by hand, one idea each."""

# ruff: noqa: ANN401 - a builder passes on whatever field is given

from __future__ import annotations

from typing import Any

from vfioctl.model.address import PciAddress
from vfioctl.model.device import Acs, Bar, Header, PciDevice, PhysicalFunction, PortType, VirtualFunction
from vfioctl.model.group import IommuGroup, OtherMember, ReservedRegion
from vfioctl.model.host import Host, Unread
from vfioctl.model.kernel import KernelRelease
from vfioctl.model.usage import Usage, UsageKind

MODERN = KernelRelease(6, 12, "6.12.0")
MSI = ReservedRegion(0xFEE00000, 0xFEEFFFFF, "msi")


def address(text: str) -> PciAddress:
    """Return the address a text spells."""
    return PciAddress.parse(text)


def device(text: str, ids: str = "8086:1234", class_code: int = 0x020000, **given: Any) -> PciDevice:
    """Return an endpoint in which nothing is remarkable but what is given."""
    vendor, model = (int(part, 16) for part in ids.split(":"))
    facts: dict[str, Any] = dict.fromkeys(PciDevice._fields)
    facts |= {
        "address": address(text),
        "vendor_id": vendor,
        "device_id": model,
        "class_code": class_code,
        "revision": 1,
        "header": Header.ENDPOINT,
        "reset_methods": ("flr", "bus"),
        "power_state": "D0",
        "alive": True,
        "express": True,
        "unbinding": False,
    }
    facts |= dict.fromkeys(
        ("mdev_types", "net_interfaces", "block_devices", "bars", "companions", "usage"), ()
    )
    return PciDevice(**(facts | given))


def bridge(text: str, **given: Any) -> PciDevice:
    """Return a root port that isolates what is behind it."""
    port = {
        "header": Header.BRIDGE,
        "driver": "pcieport",
        "port_type": PortType.ROOT_PORT,
        "acs": Acs.ISOLATES,
    }
    return device(text, "8086:1901", 0x060400, **(port | given))


def group(number: int, *members: PciDevice, **given: Any) -> IommuGroup:
    """Return a group of these members."""
    facts: dict[str, Any] = {"type": "DMA-FQ", "other_members": (), "reserved_regions": (MSI,)}
    return IommuGroup(id=number, members=tuple(member.address for member in members), **(facts | given))


def host(*groups: tuple[PciDevice, ...], **given: Any) -> Host:
    """Return a host whose groups are numbered in the order given."""
    members = [
        tuple(member._replace(iommu_group=number) for member in devices)
        for number, devices in enumerate(groups)
    ]
    facts: dict[str, Any] = {
        "kernel": MODERN,
        "iommu": True,
        "devices": tuple(sorted(one for devices in members for one in devices)),
        "groups": tuple(group(number, *devices) for number, devices in enumerate(members)),
    }
    return Host(**(facts | given))


def workstation() -> Host:
    """Return a machine with a GPU behind a port without ACS, an SR-IOV card, a system and a vfio disk."""
    port = bridge("00:01.0", acs=Acs.ABSENT)
    gpu = device(
        "01:00.0",
        "10de:2204",
        0x030000,
        driver="nvidia",
        parent=port.address,
        boot_vga=True,
        subsystem_vendor_id=0x1043,
        subsystem_device_id=0x87D9,
        bars=(Bar(0, 0xF6000000, 0xF6FFFFFF, 0x200), Bar(5, 0xE000, 0xE07F, 0x100)),
        companions=(address("01:00.1"),),
        usage=(
            Usage(UsageKind.CONSOLE, "boot_vga", "it is the display the firmware started on (boot VGA)"),
            Usage(UsageKind.PROCESS, "pid 812", "Xorg (pid 812) has /dev/dri/card0 open"),
        ),
    )
    sound = device("01:00.1", "10de:1aef", 0x040300, driver="snd_hda_intel", parent=port.address)
    nic = device(
        "02:00.0",
        "8086:10fb",
        driver="ixgbe",
        net_interfaces=("enp2s0",),
        physical_slot="3",
        numa_node=0,
        sriov=PhysicalFunction(63, (address("02:10.0"), address("02:10.2"))),
        usage=(
            Usage(UsageKind.INTERFACE, "enp2s0", "enp2s0 is up"),
            Usage(UsageKind.ADDRESS, "enp2s0", "enp2s0 has the address 192.0.2.7"),
            Usage(UsageKind.ROUTE, "enp2s0", "the default route (IPv4) leaves through enp2s0"),
        ),
    )
    virtual = device(
        "02:10.0",
        "8086:10ed",
        driver="vfio-pci",
        sriov=VirtualFunction(nic.address, 0),
        vfio_group_node="/dev/vfio/3",
        usage=(Usage(UsageKind.VM, "pid 4211", "VM web1 (pid 4211) has /dev/vfio/3 open"),),
    )
    spare = device("02:10.2", "8086:10ed", sriov=VirtualFunction(nic.address, 1))
    disk = device(
        "03:00.0",
        "144d:a808",
        0x010802,
        driver="nvme",
        block_devices=("nvme0n1",),
        usage=(
            Usage(UsageKind.MOUNT, "nvme0n1p2", "nvme0n1p2 is mounted on /"),
            Usage(UsageKind.SWAP, "nvme0n1p3", "nvme0n1p3 is swap space"),
        ),
    )
    idle = device("04:00.0", "144d:a808", 0x010802, driver="vfio-pci", vfio_group_node="/dev/vfio/6")
    dead = device("05:00.0", "1b21:1142", 0x0C0330, alive=False, driver="xhci_hcd")
    hotplug = device("06:00.0", "1b36:0001", 0x060400, header=Header.BRIDGE, driver="shpchp", express=False)
    card = device("07:01.0", "8086:100e", driver="e1000", parent=hotplug.address, express=False)
    board = device("00:1f.0", "8086:a305", 0x060100)
    smbus = device("00:1f.4", "8086:a323", 0x0C0500, driver="i801_smbus")
    return host(
        (port, gpu, sound),
        (nic,),
        (board, smbus),
        (virtual,),
        (spare,),
        (disk,),
        (idle,),
        (dead,),
        (hotplug, card),
    )


def laptop() -> Host:
    """Return a machine without an IOMMU, of which some files may not be read."""
    devices = (
        device("00:02.0", "8086:5917", 0x030000, driver="i915"),
        device("00:14.3", "8086:a0f0", 0x028000),
    )
    hidden = Unread(
        "/sys/bus/pci/devices/0000:00:02.0/config", "permission denied", devices[0].address, "express"
    )
    return Host(kernel=MODERN, iommu=False, devices=devices, groups=(), unread=(hidden,))


def foreign_member() -> Host:
    """Return an arm64 machine whose NIC shares its group with a platform device."""
    nic = device("0001:01:00.0", driver="mlx5_core", iommu_group=4)
    shared = group(4, nic, other_members=(OtherMember("arm-smmu-3.auto", "some-driver"),))
    return Host(kernel=MODERN, iommu=True, devices=(nic,), groups=(shared,))
