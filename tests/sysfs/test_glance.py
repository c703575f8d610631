from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.sysfs.reading import root_of
from vfioctl.sysfs.glance import Glance, glance, glance_drivers, glance_groups, glance_interfaces
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.tree import HostTree

NIC, GPU = "0000:0a:00.0", "0000:02:00.0"


def test_a_glance_has_what_a_completion_shows(tree: HostTree) -> None:
    """Address, ids and class, in address order: a domain of five digits comes last."""
    tree.device("10000:00:00.0").device(NIC, "8086:1533").device(GPU, "10de:2204", 0x030000)
    assert list(glance(root_of(tree))) == [
        Glance(GPU, 0x10DE, 0x2204, 0x030000),
        Glance(NIC, 0x8086, 0x1533, 0x020000),
        Glance("10000:00:00.0", 0x8086, 0x10D3, 0x020000),
    ]


def test_odd_devices_are_left_out_of_a_glance(tree: HostTree) -> None:
    """A completion has nowhere to say what could not be read."""
    tree.device(NIC).device(GPU).device("0000:03:00.0").device("0000:04:00.0")
    tree.attributes(GPU, vendor="what").deny(f"{tree.path('0000:03:00.0')}/class")
    tree.remove(f"{tree.path('0000:04:00.0')}/device")
    os.mkfifo(root_of(tree).local(f"{tree.path('0000:04:00.0')}/device"))
    assert [device.address for device in glance(root_of(tree))] == [NIC]


def test_names_to_choose_from_are_sorted_by_length_and_text(tree: HostTree) -> None:
    """Drivers, groups by number, and interfaces; the file bonding_masters is none."""
    tree.device(NIC, driver="vfio-pci", group=10).device(GPU, driver="igb", group=9).net("eth10", NIC)
    tree.net("eth9", GPU).net("lo").file("/sys/class/net/bonding_masters", "bond0\n")
    root = root_of(tree.folder("/sys/kernel/iommu_groups/odd"))
    assert glance_drivers(root) == ["igb", "vfio-pci"]
    assert glance_groups(root) == [9, 10]
    assert glance_interfaces(root) == ["lo", "eth9", "eth10"]


def test_a_glance_at_nothing_is_empty(tmp_path: Path) -> None:
    """A completion never fails."""
    root = HostRoot(str(tmp_path))
    assert list(glance(root)) == []
    assert (glance_drivers(root), glance_groups(root), glance_interfaces(root)) == ([], [], [])
