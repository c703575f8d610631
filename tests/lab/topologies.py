"""The machines of the lab. Each one exists for cases that the others do not have."""

from __future__ import annotations

from typing import Final

from tests.lab.topology import Backend, Device, Topology, multifunction, properties, root_port

NATIVE_HOTPLUG: Final = properties("ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")
"""Hot-plug through the ports themselves (pciehp, shpchp) as on most servers, not through ACPI."""
NVME_SRIOV: Final = ("sriov_max_vfs=4", "sriov_vq_flexible=8", "sriov_vi_flexible=4")


def _nic(model: str, bus: str, address: str, number: int) -> Device:
    mac = f"mac=52:54:00:00:00:{number:02x}"
    return Device(model, bus, address, f"nic{number}", properties(f"netdev=net{number}", mac, "romfile="))


def _network(*numbers: int) -> tuple[Backend, ...]:
    return tuple(Backend("netdev", "hubport", properties(f"id=net{number}", "hubid=0")) for number in numbers)


WORKSTATION: Final = Topology(
    name="workstation",
    devices=(
        root_port(1, "1.0"),
        *multifunction(Device("VGA", "rp1", "0.0", "gpu1"), Device("intel-hda", "rp1", "0.1", "sound1")),
        Device("hda-duplex", "sound1.0", "", "", properties("audiodev=silence")),
        root_port(2, "2.0"),
        *multifunction(
            Device("secondary-vga", "rp2", "0.0", "gpu2"), Device("intel-hda", "rp2", "0.1", "sound2")
        ),
        root_port(3, "3.0"),
        Device("nvme", "rp3", "0.0", "nvme1", properties("drive=disk1", "serial=lab1")),
        root_port(4, "4.0"),
        Device("qemu-xhci", "rp4", "0.0", "usb"),
        Device("usb-kbd", "usb.0", ""),
        root_port(5, "5.0"),
        _nic("e1000e", "rp5", "0.0", 1),
        Device("ich9-usb-ehci1", "pcie.0", "1a.7", "ehci", properties("multifunction=on")),
        *multifunction(
            Device("ich9-usb-uhci1", "pcie.0", "1a.0", "", properties("masterbus=ehci.0", "firstport=0")),
            Device("ich9-usb-uhci2", "pcie.0", "1a.1", "", properties("masterbus=ehci.0", "firstport=2")),
        ),
    ),
    backends=(Backend("audiodev", "none", properties("id=silence")), *_network(1)),
    default_route="0000:05:00.0",
    disks=("disk1",),
    virtual_machines=True,
)
"""A desktop: display and sound in one group (twice), disk, keyboard, the NIC with the route, three USB."""

SERVER: Final = Topology(
    name="server",
    devices=(
        Device("VGA", "pcie.0", "1.0", "gpu"),
        Device("pxb-pcie", "pcie.0", "2.0", "node0", properties("bus_nr=64", "numa_node=0")),
        Device("pxb-pcie", "pcie.0", "3.0", "node1", properties("bus_nr=128", "numa_node=1")),
        root_port(1, "0.0", bus="node0"),
        _nic("igb", "rp1", "0.0", 1),
        root_port(2, "1.0", bus="node0"),
        *multifunction(_nic("e1000e", "rp2", "0.0", 2), _nic("e1000e", "rp2", "0.1", 3)),
        root_port(3, "0.0", bus="node1"),
        Device("nvme-subsys", "", "", "subsystem", properties("nqn=lab")),
        Device(
            "nvme", "rp3", "0.0", "nvme1",
            properties("serial=lab1", "subsys=subsystem", *NVME_SRIOV),
        ),
        Device("nvme-ns", "nvme1", "", "", properties("drive=disk1", "nsid=1")),
        root_port(4, "4.0", model="ioh3420"),
        _nic("e1000e", "rp4", "0.0", 4),
        root_port(5, "5.0"),
        Device("x3130-upstream", "rp5", "0.0", "switch"),
        Device("xio3130-downstream", "switch", "0.0", "down0", properties("chassis=20", "slot=20")),
        Device("xio3130-downstream", "switch", "1.0", "down1", properties("chassis=21", "slot=21")),
        _nic("e1000e", "down0", "0.0", 5),
        root_port(6, "6.0"),
        Device("nvme", "rp6", "0.0", "nvme2", properties("drive=disk2", "serial=lab2")),
    ),
    backends=_network(1, 2, 3, 4, 5),
    numa_nodes=2,
    processors=2,
    memory_mib=1280,
    default_route="0000:41:00.0",
    disks=("disk1", "disk2"),
    virtual_machines=True,
)  # fmt: skip
"""Two NUMA nodes, SR-IOV on an igb and an NVMe, a two-function card, a port without ACS, a PCIe switch."""

LEGACY: Final = Topology(
    name="legacy",
    devices=(
        root_port(1, "1.0"),
        _nic("e1000e", "rp1", "0.0", 1),
        Device("pcie-pci-bridge", "pcie.0", "2.0", "pci"),
        _nic("e1000", "pci", "1.0", 2),
        _nic("e1000", "pci", "2.0", 3),
        Device("edu", "pcie.0", "3.0", "edu"),
    ),
    backends=_network(1, 2, 3),
    globals=NATIVE_HOTPLUG,
    default_route="0000:01:00.0",
    containers=True,
    waits=True,
)
"""A conventional bridge on shpchp with two cards behind it in its group; a device without any driver."""

BARE: Final = Topology(
    name="bare",
    devices=(
        root_port(1, "1.0"),
        _nic("e1000e", "rp1", "0.0", 1),
        root_port(2, "2.0"),
        Device("nvme", "rp2", "0.0", "nvme1", properties("drive=disk1", "serial=lab1")),
    ),
    backends=_network(1),
    iommu=False,
    default_route="0000:01:00.0",
    disks=("disk1",),
)
"""No IOMMU: nothing can be passed through, and the tool has to say why."""

HOTPLUG: Final = Topology(
    name="hotplug",
    devices=(
        root_port(1, "1.0"),
        _nic("e1000e", "rp1", "0.0", 1),
        root_port(2, "2.0"),
        root_port(3, "3.0"),
        root_port(4, "4.0"),
        Device("nvme-subsys", "", "", "subsystem", properties("nqn=lab")),
    ),
    backends=_network(1, 2, 3),
    globals=NATIVE_HOTPLUG,
    default_route="0000:01:00.0",
    disks=("disk1",),
    services=True,
    package=True,
    waits=True,
)
"""Empty root ports, with network and disk waiting for devices that a scenario adds through QMP."""


def _restarted(card: str) -> tuple[Device, ...]:
    """Give the devices of a machine in which another card may sit in the fourth port."""
    return (
        root_port(1, "1.0"),
        _nic("e1000e", "rp1", "0.0", 1),
        root_port(2, "2.0"),
        _nic("igb", "rp2", "0.0", 2),
        root_port(3, "3.0"),
        Device("nvme", "rp3", "0.0", "nvme1", properties("drive=disk1", "serial=lab1")),
        root_port(4, "4.0"),
        _nic(card, "rp4", "0.0", 4),
        root_port(5, "5.0"),
        _nic("e1000", "rp5", "0.0", 5),
    )


RESTARTED: Final = Topology(
    name="restarted",
    devices=_restarted("e1000e"),
    backends=_network(1, 2, 4, 5),
    default_route="0000:01:00.0",
    disks=("disk1",),
    services=True,
    restarts=(_restarted("e1000e"), _restarted("e1000")),
)
"""Started three times, with what stands in /etc carried over; the third time, another card is in a port."""

LIBVIRT: Final = Topology(
    name="libvirt",
    devices=(
        root_port(1, "1.0"),
        _nic("e1000e", "rp1", "0.0", 1),
        root_port(2, "2.0"),
        _nic("e1000e", "rp2", "0.0", 2),
        root_port(3, "3.0"),
        *multifunction(_nic("e1000e", "rp3", "0.0", 3), _nic("e1000e", "rp3", "0.1", 4)),
        root_port(4, "4.0"),
        _nic("igb", "rp4", "0.0", 5),
        Device("pcie-pci-bridge", "pcie.0", "5.0", "pci"),
        _nic("e1000", "pci", "1.0", 6),
        _nic("e1000", "pci", "2.0", 7),
    ),
    backends=_network(1, 2, 3, 4, 5, 6, 7),
    globals=NATIVE_HOTPLUG,
    default_route="0000:01:00.0",
    virtual_machines=True,
    libvirt=True,
)
"""Every shape of a host device for libvirt: alone, a card of two functions, a VF, two behind one bridge."""

TOPOLOGIES: Final = {
    topology.name: topology for topology in (SERVER, WORKSTATION, LEGACY, LIBVIRT, HOTPLUG, RESTARTED, BARE)
}
"""Those first that take longest: of guests side by side, none is waited for alone for long."""
