"""Who has a node open is found by its device number, wherever and whatever the node is."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.sysfs.reading import attributes_of
from vfioctl.sysfs.openers import Opener, node_numbers, read_openers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.tree import HostTree

NULL = os.stat("/dev/null").st_rdev
_HOLD = "import sys; held = open(sys.argv[1], 'rb'); print('open', flush=True); sys.stdin.read()"


def test_groups_and_devices_have_numbers(tree: HostTree) -> None:
    """A device's own node says which group it is of; what is malformed is passed over."""
    tree.device("0000:01:00.0", group=7).vfio("0000:01:00.0", 0, cdev="511:2")
    tree.file("/sys/class/vfio/7/dev", "242:3\n").file("/sys/class/vfio/noiommu-9/dev", "242:4\n")
    tree.file("/sys/class/vfio/12/dev", "?\n")
    found = node_numbers(attributes_of(tree))
    assert found == {os.makedev(242, 3): 7, os.makedev(242, 4): 9, os.makedev(511, 2): 7}


def test_a_node_of_another_path_is_found_by_its_number(tmp_path: Path) -> None:
    """As in a container, whose node is its own; another path to the same device stands for it here."""
    try:
        node = tmp_path / "vfio"
        os.mknod(node, 0o600 | 0o020000, NULL)
        os.close(os.open(node, os.O_RDONLY))
    except OSError:
        pytest.skip("no device nodes can be made here")
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(node)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = read_openers({NULL: 7})
        assert any(one.pid == process.pid and one.group == 7 for one in found)
        process.communicate()
    assert all(one.pid != process.pid for one in read_openers({NULL: 7}))


def test_without_nodes_nobody_is_looked_at() -> None:
    """A host without VFIO has no business with other programs' files."""
    assert read_openers({}, "/nowhere") == ()


def test_an_opener_names_its_process() -> None:
    """As it shows in a pod's status."""
    assert str(Opener(7, 12, "qemu-system-x86")) == "pid 12 (qemu-system-x86)"
