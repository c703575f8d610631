"""Disks that the host uses: the kernel would let go of them without a word (K36, K58), vfioctl does not."""

from __future__ import annotations

import re
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import bindings, kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DISK, OTHER_DISK = "0000:81:00.0", "0000:06:00.0"

pytestmark = [pytest.mark.once, pytest.mark.topologies("server"), pytest.mark.deadline(180)]


def sh(*command: str) -> str:
    """Run a program that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def disk_of(address: str) -> str:
    """Give the name of the visible disk behind a controller, also when it is the subsystem's (K58)."""
    for disk in Path("/sys/block").iterdir():
        if re.fullmatch(r"nvme\d+n\d+", disk.name):
            above = disk.resolve().parent
            if any(address in str(path.resolve()) for path in (above, *above.glob("nvme[0-9]*"))):
                return disk.name
    raise LookupError(address)


@pytest.fixture(scope="module", params=["multipath", "plain"])
def disks(request: pytest.FixtureRequest) -> Iterator[str]:
    """How the kernel shows NVMe disks: below their subsystem (its default), or below their controller."""
    if request.param == "plain":
        _reload_nvme("0")
    path = Path(f"/sys/block/{disk_of(DISK)}").resolve()
    assert ("/nvme-subsystem/" in str(path)) == (request.param == "multipath"), path
    yield request.param
    if request.param == "plain":
        _reload_nvme("1")


def _reload_nvme(multipath: str) -> None:
    kernel.settle()
    sh("modprobe", "--remove", "nvme", "nvme_core")
    sh("modprobe", "nvme_core", f"multipath={multipath}")
    sh("modprobe", "nvme")
    for address in (DISK, OTHER_DISK):
        kernel.wait_until(lambda: bool(_has_disk(address)), "the disks to come", 30)  # noqa: B023
    kernel.settle()


def _has_disk(address: str) -> bool:
    try:
        return Path(f"/dev/{disk_of(address)}").exists()
    except LookupError:
        return False


@contextmanager
def mounted(disk: str) -> Iterator[str]:
    """A file system on the disk, mounted."""
    sh("mkfs.ext4", "-q", "-F", f"/dev/{disk}")
    kernel.settle()
    point = Path("/run/lab mount")
    point.mkdir(exist_ok=True)
    sh("mount", f"/dev/{disk}", str(point))
    try:
        yield str(point)
    finally:
        sh("umount", str(point))


@contextmanager
def mounted_elsewhere(disk: str) -> Iterator[str]:
    """The same, but mounted where this process cannot see it: in another mount namespace."""
    sh("mkfs.ext4", "-q", "-F", f"/dev/{disk}")
    kernel.settle()
    script = f"mount /dev/{disk} /mnt && echo mounted && read line"
    Path("/mnt").mkdir(exist_ok=True)
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation=private", "sh", "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout
        assert other.stdin
        assert other.stdout.readline().strip() == "mounted"
        yield disk
        other.stdin.close()
        other.wait(timeout=20)


@contextmanager
def swapped(disk: str) -> Iterator[str]:
    """Swap space on the disk, in use."""
    sh("mkswap", f"/dev/{disk}")
    sh("swapon", f"/dev/{disk}")
    try:
        yield disk
    finally:
        sh("swapoff", f"/dev/{disk}")


@contextmanager
def in_lvm(disk: str) -> Iterator[str]:
    """A logical volume on the disk, active and not mounted."""
    sh("wipefs", "--all", "--quiet", f"/dev/{disk}")
    sh("lvm", "vgcreate", "--yes", "labgroup", f"/dev/{disk}")
    sh(
        "lvm",
        "lvcreate",
        "--yes",
        "--wipesignatures",
        "n",
        "--extents",
        "4",
        "--name",
        "labvolume",
        "labgroup",
    )
    try:
        yield "labgroup-labvolume"
    finally:
        sh("lvm", "vgremove", "--yes", "labgroup")
        sh("lvm", "pvremove", "--yes", f"/dev/{disk}")


@contextmanager
def in_array(disk: str) -> Iterator[str]:
    """A degraded mirror on the disk, running and not mounted."""
    sh("wipefs", "--all", "--quiet", f"/dev/{disk}")
    kernel.modprobe("raid1")
    sh("mdadm", "--create", "/dev/md9", "--run", "--level=1", "--raid-devices=2", f"/dev/{disk}", "missing")
    try:
        yield "md9"
    finally:
        kernel.settle()
        sh("mdadm", "--stop", "/dev/md9")
        sh("mdadm", "--zero-superblock", f"/dev/{disk}")


@contextmanager
def under_a_mapping(disk: str) -> Iterator[str]:
    """A mapping of the device mapper with a file system on it that is mounted: two levels up."""
    sh("wipefs", "--all", "--quiet", f"/dev/{disk}")
    sh("dmsetup", "create", "labmapping", "--table", f"0 65536 linear /dev/{disk} 0")
    try:
        sh("mkfs.ext4", "-q", "-F", "/dev/mapper/labmapping")
        sh("mount", "/dev/mapper/labmapping", "/mnt")
        yield "/mnt"
        sh("umount", "/mnt")
    finally:
        kernel.settle()
        sh("dmsetup", "remove", "labmapping")


USES: dict[str, tuple[Callable[[str], object], str]] = {
    "mounted": (mounted, "storage"),
    "mounted_elsewhere": (mounted_elsewhere, "storage"),
    "swap": (swapped, "storage-root"),
    "lvm": (in_lvm, "storage"),
    "md": (in_array, "storage"),
    "mapping": (under_a_mapping, "storage"),
}
"""What the host does with a disk, and the check that has to see it."""
OTHERS = frozenset({"storage", "storage-root", "net", "console"})


@pytest.mark.parametrize("use", USES)
def test_a_disk_in_use_is_refused_by_the_name_of_its_use(disks: str, use: str) -> None:
    """Exit 4, saying what it is; the check can be forced by its own name and by no other."""
    using, check = USES[use]
    Path("/mnt").mkdir(exist_ok=True)
    with ExitStack() as stack:
        disk = disk_of(DISK)
        name = stack.enter_context(using(disk))
        answer = bindings.refused("bind", DISK, check=f"[{check}]")
        assert name in answer.stderr, answer.stderr
        assert disk in answer.stderr, answer.stderr
        wrong = [word for other in OTHERS - {check} for word in ("--force", other)]
        bindings.refused("bind", DISK, *wrong, check=f"[{check}]")
        lifted = bindings.done("bind", "--dry-run", DISK, "--force", check)
        assert bindings.checks(lifted) == set()
        assert check in bindings.checks(lifted, "warn")
    kernel.settle()
    free = bindings.done("bind", "--dry-run", DISK)
    assert bindings.checks(free) == set()


def test_a_disk_whose_volumes_sleep_is_bound_and_comes_back_with_them() -> None:
    """Active it is refused; with the volume group at rest it goes, and nothing of it is lost."""
    before = bindings.bindings()
    with in_lvm(disk_of(OTHER_DISK)):
        bindings.refused("bind", OTHER_DISK, check="[storage]")
        sh("lvm", "vgchange", "--activate", "n", "labgroup")
        kernel.settle()
        bindings.done("bind", OTHER_DISK)
        bindings.done("unbind", OTHER_DISK)
        kernel.wait_until(lambda: _has_disk(OTHER_DISK), "the disk to come back")
        kernel.settle()
    assert bindings.bindings() == before
