"""An unbind that waits for a holder: the driver is gone, the node is not (K55)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot
from vfioctl.sysfs.snapshot import capture

if TYPE_CHECKING:
    from pathlib import Path

CARD = "0000:03:00.0"
SIBLING = "0000:03:00.1"


class Machine:
    """A folder with functions in group 7, written attribute by attribute."""

    def __init__(self, folder: Path) -> None:
        """Start with an empty PCI bus."""
        self.folder = folder
        (folder / "sys/bus/pci/devices").mkdir(parents=True)
        (folder / "sys/kernel/iommu_groups/7/devices").mkdir(parents=True)

    def function(self, name: str, *, driver: str | None, override: str) -> None:
        """Add a function of group 7."""
        device = self.folder / "sys/devices/pci0000:00" / name
        device.mkdir(parents=True)
        (device / "modalias").write_text("pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00\n")
        (device / "driver_override").write_text(override + "\n")
        (device / "iommu_group").symlink_to("../../../kernel/iommu_groups/7")
        if driver:
            (device / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")
        for listing in ("sys/bus/pci/devices", "sys/kernel/iommu_groups/7/devices"):
            link = self.folder / listing / name
            link.symlink_to("../" * listing.count("/") + f"devices/pci0000:00/{name}")

    def node(self) -> None:
        """Let the group's node stand."""
        (self.folder / "sys/class/vfio/7").mkdir(parents=True)

    def holder(self) -> None:
        """Let a program have the node open."""
        (self.folder / "proc/42/fd").mkdir(parents=True)
        (self.folder / "proc/42/fd/5").symlink_to("/dev/vfio/7")
        (self.folder / "proc/42/comm").write_text("holder\n")

    def unbinding(self) -> dict[str, bool]:
        """Read it and return which functions are being unbound."""
        host = read_host(HostRoot(str(self.folder)))
        return {str(device.address): device.unbinding for device in host.devices}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine without functions."""
    return Machine(tmp_path)


def test_a_node_without_a_driver_is_an_unbind_that_waits(machine: Machine) -> None:
    """VFIO removes the node with its last device, so one is still on its way out."""
    machine.function(CARD, driver=None, override="vfio-pci")
    machine.node()

    assert machine.unbinding() == {CARD: True}


def test_without_a_node_it_is_merely_without_a_driver(machine: Machine) -> None:
    """An override alone parks a device for vfio-pci; nobody is leaving."""
    machine.function(CARD, driver=None, override="vfio-pci")

    assert machine.unbinding() == {CARD: False}


def test_a_device_never_meant_for_vfio_is_not_being_unbound(machine: Machine) -> None:
    """The node may be the sibling's who waits."""
    machine.function(CARD, driver=None, override="vfio-pci")
    machine.function(SIBLING, driver=None, override="(null)")
    machine.node()

    assert machine.unbinding() == {CARD: True, SIBLING: False}


def test_an_override_that_was_changed_first_hides_nothing(machine: Machine) -> None:
    """Our own unbind clears it before it starts, so it cannot be what tells."""
    machine.function(CARD, driver=None, override="(null)")
    machine.node()
    machine.holder()

    (device,) = read_host(HostRoot(str(machine.folder))).devices

    assert device.unbinding
    assert [use.detail for use in device.usage] == ["holder (pid 42) has /dev/vfio/7 open"]


@pytest.mark.parametrize("held", [False, True], ids=["nobody has the node", "a program has the node"])
def test_beside_a_sibling_on_vfio_only_a_holder_makes_an_unbind_wait(machine: Machine, held: bool) -> None:
    """The sibling explains the node; without a holder an unbind would have ended."""
    machine.function(CARD, driver=None, override="vfio-pci")
    machine.function(SIBLING, driver="vfio-pci", override="vfio-pci")
    machine.node()
    if held:
        machine.holder()

    assert machine.unbinding() == {CARD: held, SIBLING: False}


def test_the_holder_is_named_at_the_device_that_waits(machine: Machine) -> None:
    """That is who an administrator must talk to."""
    machine.function(CARD, driver=None, override="vfio-pci")
    machine.node()
    machine.holder()

    (device,) = read_host(HostRoot(str(machine.folder))).devices

    assert [use.detail for use in device.usage] == ["holder (pid 42) has /dev/vfio/7 open"]


def test_a_snapshot_keeps_it(machine: Machine) -> None:
    """It lasts only while somebody holds the node, so it is caught by its snapshot or not at all."""
    machine.function(CARD, driver=None, override="vfio-pci")
    machine.node()
    machine.holder()

    host, entries = capture(HostRoot(str(machine.folder)))

    assert any(device.unbinding for device in host.devices)
    assert {"/proc/42/fd/5", "/sys/class/vfio/7"} <= {entry.path for entry in entries}
