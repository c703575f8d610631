"""A whole look in parts is a whole look, whatever happens between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fixtures import HOST_NAMES, dump_path, unpacked
from tests.sysfs.test_again import Machine, again
from vfioctl.sysfs.attribute import Files
from vfioctl.sysfs.reader import read_whole
from vfioctl.sysfs.rounds import Round

if TYPE_CHECKING:
    from pathlib import Path

    from vfioctl.sysfs.root import HostRoot

PART = 3


@pytest.fixture
def root(name: str, tmp_path: Path) -> HostRoot:
    """Return a sample host in a folder."""
    with open(dump_path(name), encoding="utf-8") as file:
        return unpacked(tmp_path / "host", file.read(), name)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", HOST_NAMES)
def test_in_parts_is_as_a_whole(name: str, root: HostRoot) -> None:
    """On every sample host, while one device after the other changes and is read again."""
    machine = Machine(root, name)
    now = read_whole(Files(root))
    for _ in range(4):
        unfinished, parts = Round(Files(root), PART), 1
        while (ended := unfinished.read_on(Files(root), now)) is None:
            parts += 1
            device = machine.chance.choice(now.host.devices)
            change = machine.chance.choice(machine.changes)
            change(device)
            read = again(root, now, device.address)
            if read is None:
                # More changed than one device: then the whole is read at once, and a round begins anew.
                now = read_whole(Files(root), before=now)
                unfinished = Round(Files(root), PART)
                continue
            unfinished.touched([device.address], now, read)
            now = read
        whole = read_whole(Files(root))
        assert ended.host == whole.host
        assert ended.gathered == whole.gathered
        assert parts > 1 or len(now.host.devices) <= PART
        now = ended


@pytest.mark.parametrize("name", HOST_NAMES[:3])
def test_what_comes_and_goes_unnoticed_is_there_in_the_end(name: str, root: HostRoot) -> None:
    """A round lists the bus at its beginning and at its end."""
    machine = Machine(root, name)
    before = read_whole(Files(root))
    unfinished = Round(Files(root), PART)
    assert unfinished.read_on(Files(root), before) is None
    machine.unplug(before.host.devices[0])
    machine.unplug(read_whole(Files(root)).host.devices[-1])
    while (ended := unfinished.read_on(Files(root), before)) is None:
        pass
    assert ended.host == read_whole(Files(root)).host
