from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.tree import HostTree
from tests.sysfs.reading import root_of
from tests.sysfs.test_usb import STICK, plug
from vfioctl.plugin.sight import is_character_device, look
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from pathlib import Path


def test_only_a_character_device_is_a_node(tmp_path: Path) -> None:
    """A folder would hand out all that is in it, and a plain file is nothing that a VM opens."""
    file = tmp_path / "file"
    file.touch()

    assert is_character_device("/dev/null") is True
    assert [
        is_character_device(str(path)) for path in (file, tmp_path, tmp_path / "none", file / "below")
    ] == [False] * 4


def test_a_host_is_asked_for_its_nodes_and_a_snapshot_is_not(tmp_path: Path) -> None:
    """Device nodes of this machine say nothing about another."""
    tree = plug(HostTree(tmp_path / "host"), STICK)

    copied, live = look(root_of(tree)), look(HostRoot(), usb=False)

    assert copied.usb == (STICK,)
    assert copied.has_node("/dev/null") is None
    assert (live.usb, live.has_node("/dev/null")) == (None, True)
