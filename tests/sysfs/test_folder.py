from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.descriptors import open_files
from tests.sysfs.reading import root_of
from vfioctl.sysfs.attribute import Files
from vfioctl.sysfs.folder import CheckedFolder, OpenFolder

if TYPE_CHECKING:
    from tests.support.tree import HostTree

PLACE = "/sys/devices/x"


def test_a_folder_reads_what_is_inside(tree: HostTree) -> None:
    """Files, parts of files, links and folders, all by name."""
    tree.file(f"{PLACE}/config", bytes(range(256))).link(f"{PLACE}/driver", "/sys/drivers/d")
    tree.file(f"{PLACE}/types/a/name", "A")
    folder = Files(root_of(tree)).folder(PLACE)
    assert type(folder) is OpenFolder
    assert folder.read("config", 4) == b"\x00\x01\x02\x03"
    assert folder.read("config", 4, 64) == b"\x40\x41\x42\x43"
    assert folder.read("config", 4, 4096) == b""
    assert folder.link("driver").endswith("drivers/d")
    assert sorted(folder.names()) == ["config", "driver", "types"]
    assert folder.list("types") == ["a"]
    folder.close()


def test_presence_is_asked_without_following_links(tree: HostTree) -> None:
    """A link out of a recording (the physical function is not in it) is there all the same."""
    tree.link(f"{PLACE}/physfn", "/sys/devices/not-recorded").file(f"{PLACE}/irq", "0")
    folder = OpenFolder(root_of(tree).local(PLACE))
    assert [folder.has(name) for name in ("physfn", "irq", "absent")] == [True, True, False]
    folder.close()


def test_a_fifo_inside_does_not_hang(tree: HostTree) -> None:
    """As for single attributes."""
    os.mkfifo(root_of(tree.folder(PLACE)).local(f"{PLACE}/vendor"))
    folder = OpenFolder(root_of(tree).local(PLACE))
    assert folder.read("vendor") == b""
    folder.close()


def test_a_snapshot_remembers_what_was_denied(tree: HostTree) -> None:
    """What the recording user was told is what the reader is told."""
    tree.deny(f"{PLACE}/config").deny(f"{PLACE}/driver", "EPERM").deny(f"{PLACE}/types", "EIO")
    folder = Files(root_of(tree.file(f"{PLACE}/irq", "1"))).folder(PLACE)
    assert isinstance(folder, CheckedFolder)
    assert folder.read("irq") == b"1"
    assert folder.has("config")
    assert not folder.has("absent")
    with pytest.raises(PermissionError):
        folder.read("config")
    with pytest.raises(PermissionError):
        folder.link("driver")
    with pytest.raises(OSError, match="Input/output error"):
        folder.list("types")
    folder.close()


def test_nothing_is_left_open(tree: HostTree) -> None:
    """A scan of thousands of devices must not run out of descriptors."""
    tree.file(f"{PLACE}/irq", "1").folder(f"{PLACE}/types")
    before = open_files()
    folder = OpenFolder(root_of(tree).local(PLACE))
    folder.read("irq")
    folder.list("types")
    with pytest.raises(IsADirectoryError):
        folder.read("types")
    folder.close()
    assert open_files() <= before
