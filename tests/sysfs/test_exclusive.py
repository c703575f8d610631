from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from tests.sysfs.reading import at, host_of
from vfioctl.model.situation import ExclusiveDisk
from vfioctl.sysfs import exclusive
from vfioctl.sysfs import root as paths
from vfioctl.sysfs.denied import BLOCKED_REASON
from vfioctl.sysfs.exclusive import ask, read_exclusive

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.tree import HostTree
    from vfioctl.model.host import Host

DISK, OTHER = "0000:01:00.0", "0000:02:00.0"


@pytest.fixture
def disks(tree: HostTree, monkeypatch: pytest.MonkeyPatch) -> HostTree:
    """Return a machine with two controllers, the first with two disks, and with its own block class."""
    for number, address in enumerate((DISK, OTHER)):
        tree.device(address, class_code=0x010601)
        for letter in "ab" if number == 0 else "c":
            folder = f"{tree.path(address)}/ata{letter}/block"
            tree.block(f"sd{letter}", f"8:{16 * number}", folder)
            for part in (1, 2):
                tree.block(f"sd{letter}{part}", f"8:{16 * number + part}", f"{folder}/sd{letter}")
    monkeypatch.setattr(paths, "BLOCK", f"{tree._base}/sys/class/block")
    return tree


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return what opening each disk gives, to be filled; 0 for those that are not in it."""
    known: dict[str, int] = {}
    monkeypatch.setattr(exclusive, "_claim", lambda name: known.get(name, 0))
    return known


def asked(disks: HostTree, *addresses: str) -> tuple[tuple[ExclusiveDisk, ...], tuple[str, ...]]:
    """Read a machine whose block class is not yet this machine's, and ask for its disks."""
    return read_exclusive(_host(disks), [at(address) for address in addresses])


def _host(disks: HostTree) -> Host:
    local, paths.BLOCK = paths.BLOCK, "/sys/class/block"
    try:
        return host_of(disks)
    finally:
        paths.BLOCK = local


def test_disks_that_nobody_has_are_free(disks: HostTree, answers: dict[str, int]) -> None:
    """No medium in a reader, or a disk that is gone: nobody can have that either."""
    answers.update(sdb=errno.ENOMEDIUM, sdc=errno.ENXIO)
    assert asked(disks, DISK, OTHER, "0000:09:00.0") == ((), ())


def test_a_claimed_partition_is_named_and_not_its_disk(disks: HostTree, answers: dict[str, int]) -> None:
    """Its disk is refused because of it; a claimed disk has no partition that is."""
    answers.update(sda=errno.EBUSY, sda2=errno.EBUSY, sdc=errno.EBUSY)
    assert asked(disks, DISK, OTHER) == (
        (ExclusiveDisk(at(DISK), "sda2"), ExclusiveDisk(at(OTHER), "sdc")),
        (),
    )
    assert asked(disks, OTHER) == ((ExclusiveDisk(at(OTHER), "sdc"),), ())


def test_what_a_use_explains_is_not_said_again(disks: HostTree, answers: dict[str, int]) -> None:
    """A mount claims its partition; what claims the other is not known."""
    answers.update(sda=errno.EBUSY, sda1=errno.EBUSY, sda2=errno.EBUSY)
    disks.mounts(("8:1", "/", "/dev/sda1", "ext4"))
    assert asked(disks, DISK) == ((ExclusiveDisk(at(DISK), "sda2"),), ())


def test_partitions_of_a_disk_that_is_explained_are_too(disks: HostTree, answers: dict[str, int]) -> None:
    """Multipath claims the whole disk, and with it whatever is on it."""
    answers.update(sda=errno.EBUSY, sda1=errno.EBUSY, sda2=errno.EBUSY)
    disks.mapper("dm-0", "253:0", "mpatha").holder("sda", "dm-0")
    assert asked(disks, DISK) == ((), ())


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "operation not permitted"),
        (errno.ENOENT, "there is no node of it in /dev"),
        (errno.EIO, "input/output error"),
    ],
)
def test_what_could_not_be_asked_is_said(
    disks: HostTree, answers: dict[str, int], number: int, reason: str
) -> None:
    """Unknown is not fine; disks with one reason are one sentence."""
    answers.update(sda=number, sdb=number)
    assert asked(disks, DISK) == (
        (),
        (f"it is not known whether something has sda, sdb open for itself: {reason}",),
    )


@pytest.mark.slow
def test_a_disk_that_does_not_answer_is_left_behind(disks: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its driver recovers from an error, and an open waits for that."""

    def hang(name: str) -> int:
        from tests.sysfs.d_state import sleep_uninterruptibly

        if name == "sda":
            sleep_uninterruptibly()
        return 0

    monkeypatch.setattr(exclusive, "_claim", hang)
    assert asked(disks, DISK) == (
        (),
        (f"it is not known whether something has sda open for itself: {BLOCKED_REASON}",),
    )


def test_what_is_no_block_device_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in its place would tell nothing; a folder of sysfs may be one of /dev."""
    monkeypatch.setattr(paths, "NODES", str(tmp_path))
    (tmp_path / "sda").write_text("")
    os.mkfifo(tmp_path / "sdb")
    assert [ask(name) for name in ("sda", "sdb", "cciss!c0d0")] == [
        [(name, errno.ENOENT)] for name in ("sda", "sdb", "cciss!c0d0")
    ]


def _free_disk() -> str | None:
    for number in range(8):
        name = f"loop{number}"
        if not os.path.exists(f"/sys/class/block/{name}/loop") and ask(name) == [(name, 0)]:
            return name
    return None


def test_the_kernel_says_that_a_disk_is_taken() -> None:
    """A free one is free before and after."""
    name = _free_disk()
    if name is None:
        pytest.skip("no block device here can be opened")
    held = os.open(f"/dev/{name}", os.O_RDONLY | os.O_EXCL)
    try:
        assert ask(name) == [(name, errno.EBUSY)]
    finally:
        os.close(held)
    assert ask(name) == [(name, 0)]


def test_without_disks_nothing_is_asked(disks: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started for a card without any."""
    monkeypatch.setattr(os, "fork", None)
    disks.device("0000:03:00.0")
    assert asked(disks, "0000:03:00.0") == ((), ())


def test_a_disk_that_goes_away_meanwhile_was_taken(answers: dict[str, int]) -> None:
    """It refused, and has no partitions to ask any more."""
    answers.update(sdz=errno.EBUSY)
    assert ask("sdz") == [("sdz", errno.EBUSY)]
