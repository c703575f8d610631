"""A host that is read again in part is the host that a whole look gives."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.support.fixtures import HOST_NAMES, dump_path, unpacked
from tests.sysfs.reading import at, root_of
from vfioctl.sysfs.again import read_again
from vfioctl.sysfs.attribute import Files
from vfioctl.sysfs.reader import read_host, read_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.tree import HostTree
    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.sysfs.reader import Reading
    from vfioctl.sysfs.root import HostRoot

NIC, GPU, AUDIO = "0000:02:00.0", "0000:01:00.0", "0000:01:00.1"
CHANGES_OF_EACH = 12


class Machine:
    """A host in a folder, to be changed as a kernel changes it."""

    def __init__(self, root: HostRoot, seed: str = "") -> None:
        """Change what is below this root."""
        self.root = root
        self.chance = Random(seed)  # noqa: S311 - the same ones each time

    def local(self, path: str) -> str:
        """Return where a path of the host is."""
        return self.root.local(path)

    def folder(self, device: PciDevice) -> str:
        """Return a device's folder."""
        return os.path.realpath(self.local(f"/sys/bus/pci/devices/{device.address}"))

    def attribute(self, device: PciDevice, name: str, content: bytes) -> None:
        """Give an attribute another content, where the device has it."""
        path = f"{self.folder(device)}/{name}"
        if os.path.isfile(path):
            with open(path, "wb") as file:
                file.write(content)

    def link(self, device: PciDevice, name: str, target: str | None) -> None:
        """Let a link of a device lead elsewhere, or to nothing."""
        path = f"{self.folder(device)}/{name}"
        with suppress(FileNotFoundError):
            os.unlink(path)
        if target is not None:
            os.symlink(target, path)

    def rebind(self, device: PciDevice) -> None:
        """Give it to another driver, or to none."""
        driver = self.chance.choice([None, "vfio-pci", "igb", "nvme"])
        self.link(device, "driver", driver and f"../../../bus/pci/drivers/{driver}")

    def node(self, device: PciDevice) -> None:
        """Let its group's node come or go."""
        path = self.local(f"/sys/class/vfio/{device.iommu_group}")
        if os.path.lexists(path):
            _remove(path)
        elif device.iommu_group is not None:
            os.makedirs(path)

    def cdev(self, device: PciDevice) -> None:
        """Let its own node come or go."""
        own = f"{self.folder(device)}/vfio-dev"
        if os.path.isdir(own):
            for name in os.listdir(own):
                _remove(self.local(f"/sys/class/vfio-dev/{name}"))
            _remove(own)
            return
        name = f"vfio{self.chance.randrange(1000, 9999)}"
        os.makedirs(f"{own}/{name}")
        os.makedirs(self.local("/sys/class/vfio-dev"), exist_ok=True)
        if self.chance.random() < 0.5:
            with open(f"{own}/{name}/dev", "w", encoding="ascii") as file:
                file.write("511:0\n")
        target = os.path.relpath(f"{own}/{name}", self.local("/sys/class/vfio-dev"))
        os.symlink(target, self.local(f"/sys/class/vfio-dev/{name}"))

    def renumber(self, device: PciDevice) -> None:
        """Put it into a group of its own, of a number that no other has."""
        if device.iommu_group is None:
            return
        number = self.chance.randrange(1000, 9999)
        self._leave_group(device)
        group = self.local(f"/sys/kernel/iommu_groups/{number}")
        os.makedirs(f"{group}/devices")
        for name, text in (("type", "DMA\n"), ("reserved_regions", "")):
            with open(f"{group}/{name}", "w", encoding="ascii") as file:
                file.write(text)
        os.symlink(self.folder(device), f"{group}/devices/{device.address}")
        self.link(device, "iommu_group", f"../../../kernel/iommu_groups/{number}")

    def _leave_group(self, device: PciDevice) -> None:
        group = self.local(f"/sys/kernel/iommu_groups/{device.iommu_group}")
        _remove(f"{group}/devices/{device.address}")
        if os.path.isdir(f"{group}/devices") and not os.listdir(f"{group}/devices"):
            _remove(group)

    def unplug(self, device: PciDevice) -> None:
        """Take it out, with what hangs below it."""
        folder = self.folder(device)
        for one in read_host(self.root).devices:
            if f"{self.folder(one)}/".startswith(f"{folder}/"):
                self._leave_group(one)
                _remove(self.local(f"/sys/bus/pci/devices/{one.address}"))
        _remove(folder)

    def fall_asleep(self, device: PciDevice) -> None:
        """Switch it off."""
        self.attribute(device, "power_state", self.chance.choice([b"D3cold\n", b"D0\n", b"D3hot\n"]))

    def die(self, device: PciDevice) -> None:
        """Let it answer nothing any more."""
        self.attribute(device, "config", b"\xff" * 64)

    def move(self, device: PciDevice) -> None:
        """Let the firmware say another NUMA node."""
        self.attribute(device, "numa_node", b"1\n")

    def override(self, device: PciDevice) -> None:
        """Say which driver may have it."""
        self.attribute(device, "driver_override", self.chance.choice([b"vfio-pci\n", b"(null)\n"]))

    @property
    def changes(self) -> list[Callable[[PciDevice], None]]:
        """Everything that can happen to one device."""
        return [
            *(self.rebind, self.rebind, self.node, self.cdev, self.renumber, self.unplug),
            *(self.fall_asleep, self.die, self.move, self.override),
        ]


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def again(root: HostRoot, before: Reading, *addresses: PciAddress | str) -> Reading | None:
    """Read devices of a host again."""
    return read_again(Files(root), before, frozenset(at(str(address)) for address in addresses))


@pytest.mark.parametrize("name", HOST_NAMES)
def test_in_part_is_as_a_whole(name: str, tmp_path: Path) -> None:
    """Whatever happens to one device after the other, on every sample host."""
    with open(dump_path(name), encoding="utf-8") as file:
        root = unpacked(tmp_path / "host", file.read(), name)
    machine = Machine(root, name)
    before = read_whole(Files(root))
    for _ in range(CHANGES_OF_EACH):
        if not before.host.devices:
            break
        device = machine.chance.choice(before.host.devices)
        change = machine.chance.choice(machine.changes)
        change(device)
        whole, partly = read_whole(Files(root)), again(root, before, device.address)
        if partly is not None:
            assert partly.host == whole.host, (change.__name__, device)
        before = partly or whole


@pytest.fixture
def machine(tree: HostTree) -> HostTree:
    """Return a machine with a card of two functions and a network card, all on VFIO."""
    tree.device(GPU, "10de:2204", 0x030000, group=7, driver="vfio-pci")
    tree.device(AUDIO, "10de:1aef", 0x040300, group=7, driver="vfio-pci")
    tree.device(NIC, group=9, driver="vfio-pci")
    return tree.folder("/sys/class/vfio/7").folder("/sys/class/vfio/9")


def test_only_what_changed_is_another_object(machine: HostTree) -> None:
    """So that whoever holds the rest knows it by its identity."""
    root = root_of(machine)
    before = read_whole(Files(root))
    Machine(root).attribute(before.host.by_address[at(NIC)], "power_state", b"D3hot\n")

    partly = again(root, before, NIC)

    assert partly is not None
    assert partly.host.by_address[at(NIC)].power_state == "D3hot"
    for address in (GPU, AUDIO):
        assert partly.host.by_address[at(address)] is before.host.by_address[at(address)]
    assert partly.host.by_group[7] is before.host.by_group[7]


def test_what_was_not_named_is_not_read(machine: HostTree) -> None:
    """A change that nobody reports is seen at the next whole look."""
    root = root_of(machine)
    before = read_whole(Files(root))
    for device in before.host.devices:
        Machine(root).attribute(device, "power_state", b"D3hot\n")

    partly = again(root, before, NIC)

    assert partly is not None
    assert [device.power_state for device in partly.host.devices] == ["D0", "D0", "D3hot"]


def test_a_whole_look_is_needed_where_others_change_as_well(machine: HostTree) -> None:
    """Others come or go, virtual functions are made, a bridge goes, a sibling may wait for a holder."""
    root = root_of(machine)

    def answer(*addresses: str) -> Reading | None:
        return again(root, before, *addresses)

    before = read_whole(Files(root))
    assert answer(NIC) is not None
    machine.device("0000:03:00.0", group=11)
    assert answer(NIC) is None
    assert answer("0000:03:00.0") is not None
    machine.device("0000:04:00.0", virtual_function=True, group=12).virtual_functions(
        "0000:03:00.0", 4, ["0000:04:00.0"]
    )
    assert answer("0000:03:00.0", "0000:04:00.0") is None
    before = read_whole(Files(root))
    gpu = before.host.by_address[at(GPU)]
    Machine(root).link(gpu, "driver", None)
    assert answer(GPU) is None
    machine.bridge("0000:00:01.0", 5, group=13)
    before = read_whole(Files(root))
    Machine(root).unplug(before.host.by_address[at("0000:00:01.0")])
    assert answer("0000:00:01.0") is None
