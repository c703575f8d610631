"""Topologies become QEMU's arguments, and are sound in themselves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.lab import machine, topology
from tests.lab.ingredients import Cache
from tests.lab.topologies import BARE, SERVER, TOPOLOGIES, WORKSTATION
from tests.lab.topology import Backend, Device, Topology, properties, root_port

BUSES_OF_THEIR_OWN = {"": "", "sound1.0": "sound1", "usb.0": "usb"}

machines = pytest.mark.parametrize("name", TOPOLOGIES)


def test_a_device_value_names_model_id_bus_address_and_properties_in_this_order() -> None:
    """One line of QEMU's own syntax."""
    port = root_port(3, "2.0")
    assert topology.device_value(port) == "pcie-root-port,id=rp3,bus=pcie.0,addr=2.0,chassis=3,slot=3"


def test_a_device_without_a_bus_or_an_id_leaves_them_out() -> None:
    """A subsystem has no address, a keyboard no id."""
    assert topology.device_value(Device("usb-kbd", "usb.0", "")) == "usb-kbd,bus=usb.0"
    assert topology.device_value(Device("nvme-subsys", "", "", "s")) == "nvme-subsys,id=s"


def test_a_comma_in_a_value_is_doubled() -> None:
    """QEMU would read what follows as the next property."""
    assert topology.joined("x", pairs=(("file", "a,b"),)) == "x,file=a,,b"


def test_function_zero_of_a_card_says_that_there_are_more() -> None:
    """Without it the kernel looks at function 0 only."""
    first, second = topology.multifunction(Device("a", "rp1", "0.0"), Device("b", "rp1", "0.1"))
    assert ("multifunction", "on") in first.properties
    assert second.properties == ()


def test_only_a_machine_with_an_iommu_gets_one() -> None:
    """It has to come before the devices that it translates for."""
    arguments = topology.device_arguments(WORKSTATION, {})
    assert arguments[:2] == ["-device", "intel-iommu,intremap=on,caching-mode=on"]
    assert not [word for word in topology.device_arguments(BARE, {}) if "iommu" in word]


def test_numa_nodes_share_memory_and_processors() -> None:
    """One processor for each of two nodes, half the memory."""
    arguments = topology.machine_arguments(SERVER)
    assert "node,nodeid=1,cpus=1,memdev=mem1" in arguments
    assert "memory-backend-ram,id=mem0,size=640M" in arguments


def test_without_a_listener_the_events_go_nowhere() -> None:
    """A shell has nobody who would read them."""
    assert "null,id=events" in topology.channel_arguments("", "/m")
    assert "socket,id=events,path=/e" in topology.channel_arguments("/e", "/m")


@machines
def test_no_two_devices_share_an_address(name: str) -> None:
    """Also not with the guest's own line."""
    taken = Counter((device.bus, device.address) for device in TOPOLOGIES[name].devices if device.address)
    taken["pcie.0", topology.CHANNEL_SLOT] += 1
    assert [place for place, count in taken.items() if count > 1] == []


@machines
def test_every_bus_is_there_before_its_devices(name: str) -> None:
    """QEMU builds in the order of its arguments."""
    known = {"pcie.0"}
    for device in TOPOLOGIES[name].devices:
        assert BUSES_OF_THEIR_OWN.get(device.bus, device.bus) in known | {""}, device
        known.add(device.id)


@machines
def test_chassis_numbers_and_ids_are_unique(name: str) -> None:
    """QEMU refuses two ports with one chassis and slot."""
    devices = TOPOLOGIES[name].devices
    chassis = [value for device in devices for key, value in device.properties if key == "chassis"]
    ids = [device.id for device in devices if device.id]
    assert (len(set(chassis)), len(set(ids))) == (len(chassis), len(ids))


@machines
def test_every_disk_and_network_that_a_device_names_exists(name: str) -> None:
    """And nothing is left over, except on the machine that waits for devices."""
    machine = TOPOLOGIES[name]
    wanted = {
        value for device in machine.devices for key, value in device.properties if key in {"drive", "netdev"}
    }
    offered = {value for backend in machine.backends for key, value in backend.properties if key == "id"}
    assert wanted <= offered | set(machine.disks)


@machines
def test_every_address_is_fixed(name: str) -> None:
    """Addresses and group numbers would move with every device that is added."""
    loose = {"hda-duplex", "usb-kbd", "nvme-ns", "nvme-subsys"}
    assert [
        device for device in TOPOLOGIES[name].devices if not device.address and device.model not in loose
    ] == []


@machines
def test_a_machine_that_is_started_again_keeps_all_but_its_devices(name: str) -> None:
    """Every boot of it is a sound machine, whatever card sits where."""
    first, *others = TOPOLOGIES[name].boots
    assert first == TOPOLOGIES[name]
    for other in others:
        assert other._replace(devices=first.devices) == first
        places = [[(device.bus, device.address) for device in boot.devices] for boot in (first, other)]
        assert places[0] == places[1]


def test_the_kernel_is_told_which_boot_it_is(tmp_path: Path) -> None:
    """The guest's init acts on it."""
    plan = machine.Plan(BARE, Path("/k"), (), "tcg", boot=2)
    assert "lab.boot=2" in machine.command(plan, Cache(tmp_path), tmp_path, "/e")[-1].split()


def test_a_backend_is_an_option_of_its_own(tmp_path: Path) -> None:
    """In a full command line, with the disk beside it."""
    small = Topology(
        name="small",
        devices=(Device("nvme", "pcie.0", "2.0", "", properties("drive=d", "serial=s")),),
        backends=(Backend("netdev", "hubport", properties("id=net1", "hubid=0")),),
        disks=("d",),
    )
    plan = machine.Plan(small, Path("/k"), (), "tcg")
    command = machine.command(plan, Cache(tmp_path), tmp_path, "/e")
    assert command[command.index("-netdev") + 1] == "hubport,id=net1,hubid=0"
    assert command[command.index("-drive") + 1].endswith(f"file={tmp_path}/d.img")
    assert command[command.index("-accel") + 1] == "tcg,thread=single"
    assert "lab.topology=small" in command[-1]
