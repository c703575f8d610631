from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.sysfs.reading import host_of, root_of
from vfioctl.model.situation import NodeMode, Situation
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot
from vfioctl.sysfs.situation import RECORDED, read_nodes, read_situation

if TYPE_CHECKING:
    from tests.support.tree import HostTree


def test_a_recorded_host_is_nobodys_situation(tree: HostTree) -> None:
    """The session of this machine is not one of that host, and a disk of its name is another's."""
    tree.file("/proc/sys/kernel/random/boot_id", "471c30de\n").device("0000:01:00.0").net(
        "eth0", "0000:01:00.0"
    )
    tree.network({"eth0": ["192.0.2.7/24"]})
    environ = {"SSH_CONNECTION": "198.51.100.9 5 192.0.2.7 22"}
    found = read_situation(root_of(tree), host_of(tree), [], environ)
    assert found == Situation("471c30de", unknown=(RECORDED,))


def test_the_running_systems_situation() -> None:
    """With a boot, and with the session of whoever says to have one."""
    host = read_host(HostRoot())
    found = read_situation(
        HostRoot(), host, [device.address for device in host.devices], {"SSH_CONNECTION": "x"}
    )
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        assert found.boot_id == file.read().strip()
    assert "the ssh session is not known: SSH_CONNECTION is 'x'" in found.unknown
    assert found.records == ()


def test_nodes_are_devices_with_an_owner_and_a_mode(tree: HostTree) -> None:
    """Other files are none; a node of vfio's own is one."""
    folder = root_of(tree.file("/dev/vfio/17", "").folder("/dev/vfio/devices")).local("/dev/vfio")
    assert list(read_nodes(root_of(tree))) == []
    try:
        os.mknod(f"{folder}/vfio", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(f"{folder}/devices/vfio0", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("device nodes cannot be made here")
    os.chown(f"{folder}/devices/vfio0", 64055, 108)
    os.chmod(f"{folder}/vfio", 0o640)
    assert sorted(read_nodes(root_of(tree))) == [
        NodeMode("/dev/vfio/devices/vfio0", 64055, 108, 0o600),
        NodeMode("/dev/vfio/vfio", 0, 0, 0o640),
    ]
