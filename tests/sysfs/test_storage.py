from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.sysfs.reading import attributes_of, device_of, uses_of
from vfioctl.model.usage import UsageKind
from vfioctl.sysfs.storage import read_blocks, read_mounts, read_swaps, storage_uses

if TYPE_CHECKING:
    from tests.support.tree import HostTree

DISK, OTHER = "0000:01:00.0", "0000:02:00.0"
ROOT = ("259:2", "/", "/dev/nvme0n1p2", "ext4")
MOUNT, SWAP, HOLDER, MEMBER = UsageKind.MOUNT, UsageKind.SWAP, UsageKind.HOLDER, UsageKind.MEMBER


@pytest.fixture
def disks(tree: HostTree) -> HostTree:
    """Return a machine with two NVMe disks of two partitions each."""
    for number, address in enumerate((DISK, OTHER)):
        tree.device(address, "144d:a808", 0x010802, driver="nvme")
        folder = f"{tree.path(address)}/nvme/nvme{number}"
        tree.block(f"nvme{number}n1", f"259:{number * 3}", folder)
        for part in (1, 2):
            tree.block(f"nvme{number}n1p{part}", f"259:{number * 3 + part}", f"{folder}/nvme{number}n1")
    return tree


def udev(tree: HostTree, number: str, kind: str, uuid: str = "", label: str = "") -> HostTree:
    """Say what udev found on a block device."""
    lines = ["S:disk/by-id/x", f"E:ID_FS_TYPE={kind}"]
    lines += [f"E:ID_FS_UUID={uuid}"] * bool(uuid) + [f"E:ID_FS_LABEL={label}"] * bool(label)
    return tree.file(f"/run/udev/data/b{number}", "\n".join([*lines, "E:BROKEN", ""]))


def test_a_device_lists_its_disks_and_not_their_partitions(disks: HostTree) -> None:
    """A partition is found on its disk."""
    assert device_of(disks, DISK).block_devices == ("nvme0n1",)
    assert device_of(disks, DISK).usage == ()


def test_a_mounted_partition_is_a_use_of_its_device_alone(disks: HostTree) -> None:
    """Found by device number: the kernel may call the source /dev/root."""
    disks.mounts(("259:2", "/", "/dev/root", "ext4"), ("0:5", "/proc", "proc", "proc"))
    assert uses_of(disks, DISK) == [(MOUNT, "nvme0n1p2 is mounted on /")]
    assert uses_of(disks, OTHER) == []


def test_a_whole_disk_may_be_mounted(disks: HostTree) -> None:
    """Without a partition table."""
    disks.mounts(("259:0", "/data", "/dev/nvme0n1", "xfs"))
    assert uses_of(disks, DISK) == [(MOUNT, "nvme0n1 is mounted on /data")]


def test_many_mounts_of_one_device_are_counted(disks: HostTree) -> None:
    """The shortest three are shown: the root of the system first."""
    points = ["/var/lib/docker/btrfs", "/", "/home", "/srv", "/var"]
    disks.mounts(*(("259:2", point, "/dev/nvme0n1p2", "btrfs") for point in points))
    assert uses_of(disks, DISK) == [(MOUNT, "nvme0n1p2 is mounted on /, /srv, /var and 2 more")]
    disks.mounts(*(("259:2", point, "/dev/nvme0n1p2", "btrfs") for point in points[:3]))
    assert uses_of(disks, DISK) == [(MOUNT, "nvme0n1p2 is mounted on /, /home, /var/lib/docker/btrfs")]


def test_mount_points_with_spaces_are_spelled_as_they_are(disks: HostTree) -> None:
    """The kernel writes blank, tab, newline and backslash as octal numbers."""
    disks.mounts(("259:2", "/mnt/my\\040disk\\134x\\134040", "/dev/nvme0n1p2", "ext4"))
    assert uses_of(disks, DISK) == [(MOUNT, "nvme0n1p2 is mounted on /mnt/my disk\\x\\040")]


def test_an_odd_mount_point_does_not_hide_a_mount(disks: HostTree) -> None:
    """A label may hold what some take for the end of a line; the disk is in use all the same."""
    disks.mounts(("259:2", "/media/a\x0bb\u2028c", "/dev/nvme0n1p2", "vfat"))
    assert uses_of(disks, DISK) == [(MOUNT, "nvme0n1p2 is mounted on /media/a\x0bb\u2028c")]


def test_lines_that_are_no_mounts_are_passed_over(disks: HostTree) -> None:
    """The table of a stranger's recording may be cut short."""
    disks.file(
        "/proc/self/mountinfo", "\n1 2 259:2\n1 2 259:2 / / rw - ext4\n1 2 259:2 / / rw ext4 /dev/x rw\n"
    )
    assert read_mounts(attributes_of(disks)) == ()


def test_swap_is_found_by_device_and_by_name_of_a_mapping(disks: HostTree) -> None:
    """Swap files are found through the mount they are on; a device that is gone is nobody's (K36)."""
    disks.mapper("dm-0", "253:0", "vg0-swap").holder("nvme1n1p1", "dm-0")
    disks.swaps("/dev/nvme0n1p1", "/dev/mapper/vg0-swap", "/swapfile", "/dev/nvme9n1\\040(deleted)")
    assert uses_of(disks, DISK) == [(SWAP, "nvme0n1p1 is swap space")]
    assert uses_of(disks, OTHER) == [(SWAP, "nvme1n1p1 (through vg0-swap) is swap space")]
    assert read_swaps(attributes_of(disks)) == (
        "/dev/nvme0n1p1",
        "/dev/mapper/vg0-swap",
        "/swapfile",
        "/dev/nvme9n1 (deleted)",
    )
    assert uses_of(disks.swaps("/dev/dm-0"), OTHER) == [(SWAP, "nvme1n1p1 (through vg0-swap) is swap space")]


def test_uses_are_found_up_through_raid_encryption_and_volumes(disks: HostTree) -> None:
    """LVM over LUKS over RAID 1: both disks carry the root of the system."""
    disks.raid("md0", "9:0").mapper("dm-0", "253:0", "luks-root").mapper("dm-1", "253:1", "vg0-root")
    disks.mapper("dm-2", "253:2", "vg0-spare")
    disks.holder("nvme0n1p2", "md0").holder("nvme1n1p2", "md0").holder("md0", "dm-0")
    disks.holder("dm-0", "dm-1").holder("dm-0", "dm-2").mounts(("253:1", "/", "/dev/mapper/vg0-root", "ext4"))
    for address, part in ((DISK, "nvme0n1p2"), (OTHER, "nvme1n1p2")):
        assert uses_of(disks, address) == [
            (MOUNT, f"{part} (through vg0-root) is mounted on /"),
            (HOLDER, f"{part} is held by vg0-spare"),
        ]


def test_what_holds_a_disk_is_a_use_also_when_nothing_is_mounted(disks: HostTree) -> None:
    """An array without a mount is still the host's; so is a holder that sysfs says nothing else about."""
    disks.raid("md0", "9:0").holder("nvme0n1", "md0")
    disks.link("/sys/devices/virtual/block/md0/holders/bcache0", "/sys/devices/virtual/block/bcache0")
    assert uses_of(disks, DISK) == [(HOLDER, "nvme0n1 is held by bcache0")]


def test_partitions_of_an_array_are_used_like_those_of_a_disk(disks: HostTree) -> None:
    """An array may have a partition table of its own."""
    disks.raid("md126", "9:126").block("md126p1", "259:9", "/sys/devices/virtual/block/md126")
    disks.holder("nvme0n1", "md126").mounts(("259:9", "/boot", "/dev/md126p1", "ext4"))
    assert uses_of(disks, DISK) == [(MOUNT, "nvme0n1 (through md126p1) is mounted on /boot")]


def test_holders_in_a_circle_end(disks: HostTree) -> None:
    """No kernel builds that; a recording may."""
    disks.mapper("dm-0", "253:0", "a").mapper("dm-1", "253:1", "b")
    disks.holder("nvme0n1", "dm-0").holder("dm-0", "dm-1").holder("dm-1", "dm-0")
    assert uses_of(disks, DISK) == []


def test_a_multipath_disk_is_a_use_of_every_controller(tree: HostTree) -> None:
    """The visible disk is the subsystem's; below the functions there are only hidden paths (K58)."""
    subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    for number, address in enumerate((DISK, OTHER)):
        tree.device(address, "144d:a808", 0x010802, driver="nvme")
        controller = f"{tree.path(address)}/nvme/nvme{number}"
        tree.block(f"nvme0c{number}n1", f"259:{number}", controller)
        tree.link(f"{subsystem}/nvme{number}", controller)
    tree.link(f"{subsystem}/nvme2", "/sys/devices/virtual/nvme-fabrics/ctl/nvme2")
    tree.block("nvme0n1", "259:7", subsystem).block("nvme0n1p1", "259:8", f"{subsystem}/nvme0n1")
    tree.mounts(("259:8", "/", "/dev/nvme0n1p1", "ext4"))
    for address in (DISK, OTHER):
        assert device_of(tree, address).block_devices == ("nvme0n1",)
        assert uses_of(tree, address) == [(MOUNT, "nvme0n1p1 is mounted on /")]


def test_every_member_of_a_mounted_btrfs_is_in_use(disks: HostTree) -> None:
    """One member is the mount's source, and its device number is none of theirs."""
    udev(disks, "259:2", "btrfs", "aa-bb")
    udev(disks, "259:5", "btrfs", "aa-bb")
    udev(disks, "259:4", "btrfs", "cc-dd")
    assert uses_of(disks, OTHER) == []
    disks.mounts(("0:31", "/", "/dev/nvme0n1p2", "btrfs"), ("0:31", "/home", "/dev/nvme0n1p2", "btrfs"))
    assert uses_of(disks, DISK) == [(MOUNT, "nvme0n1p2 is mounted on /, /home")]
    assert uses_of(disks, OTHER) == [(MEMBER, "nvme1n1p2 is part of a mounted btrfs file system")]


def test_the_kernel_itself_lists_the_members_of_a_mounted_btrfs(disks: HostTree) -> None:
    """Where there is no udev, as in a container; the folder of features is no file system."""
    for name in ("nvme0n1p2", "nvme1n1p2"):
        disks.link(f"/sys/fs/btrfs/aa-bb/devices/{name}", f"/sys/class/block/{name}")
    disks.folder("/sys/fs/btrfs/features").mounts(("0:31", "/", "/dev/nvme0n1p2", "btrfs"))
    assert uses_of(disks, DISK) == [(MOUNT, "nvme0n1p2 is mounted on /")]
    assert uses_of(disks, OTHER) == [(MEMBER, "nvme1n1p2 is part of a mounted btrfs file system")]


def test_a_btrfs_without_an_id_is_a_member_of_nothing(disks: HostTree) -> None:
    """Two unknown ids are not the same id."""
    udev(disks, "259:2", "btrfs")
    udev(disks, "259:5", "btrfs")
    assert uses_of(disks.mounts(ROOT), OTHER) == []


def test_every_disk_of_a_mounted_bcachefs_is_in_use(disks: HostTree) -> None:
    """It names all of them as its source."""
    disks.mounts(("0:40", "/data", "/dev/nvme0n1:/dev/nvme1n1", "bcachefs"))
    assert uses_of(disks, DISK) == [(MOUNT, "nvme0n1 is mounted on /data")]
    assert uses_of(disks, OTHER) == [(MOUNT, "nvme1n1 is mounted on /data")]


def test_a_member_of_a_zfs_pool_is_in_use(disks: HostTree) -> None:
    """Whether the pool is imported cannot be told, so it counts."""
    udev(disks, "259:1", "zfs_member", label="tank")
    udev(disks, "259:4", "zfs_member")
    assert uses_of(disks, DISK) == [(MEMBER, "nvme0n1p1 is part of the ZFS pool tank")]
    assert uses_of(disks, OTHER) == [(MEMBER, "nvme1n1p1 is part of the ZFS pool unknown")]


def test_an_old_raid_controller_names_its_disks_with_a_slash(tree: HostTree) -> None:
    """/dev/cciss/c0d0p1 is cciss!c0d0p1 in sysfs."""
    tree.device(DISK, class_code=0x010400).block(
        "cciss!c0d0", "104:0", f"{tree.path(DISK)}/cciss0/c0d0/block"
    )
    tree.swaps("/dev/cciss/c0d0")
    assert uses_of(tree, DISK) == [(SWAP, "cciss!c0d0 is swap space")]


def test_a_disk_deep_below_its_function_is_found(tree: HostTree) -> None:
    """SATA and USB disks sit many folders down."""
    tree.device(DISK, class_code=0x0C0330).device(OTHER, class_code=0x010601)
    usb = f"{tree.path(DISK)}/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block"
    tree.block("sdb", "8:16", usb).block("sdb1", "8:17", f"{usb}/sdb")
    tree.block("sda", "8:0", f"{tree.path(OTHER)}/ata1/host0/target0:0:0/0:0:0:0/block")
    tree.mounts(("8:17", "/media/stick", "/dev/sdb1", "vfat"))
    assert uses_of(tree, DISK) == [(MOUNT, "sdb1 is mounted on /media/stick")]
    assert device_of(tree, OTHER).block_devices == ("sda",)


def test_a_block_device_without_number_is_found_by_name(disks: HostTree) -> None:
    """Also one whose number may not be read."""
    disks.deny(f"{disks.path(DISK)}/nvme/nvme0/nvme0n1/nvme0n1p2/dev").mounts(ROOT)
    assert uses_of(disks, DISK) == [(MOUNT, "nvme0n1p2 is mounted on /")]


def test_loops_and_other_virtual_disks_belong_to_no_device(disks: HostTree) -> None:
    """What is on a file is found through the file's own mount."""
    disks.block("loop0", "7:0", "/sys/devices/virtual/block").mounts(
        ("7:0", "/snap", "/dev/loop0", "squashfs")
    )
    attributes = attributes_of(disks)
    assert storage_uses(attributes, read_blocks(attributes)) == {}


def test_hundreds_of_volumes_and_mounts_are_matched_in_a_moment(tree: HostTree) -> None:
    """A host of containers has them; the work must not grow with their product."""
    count = 400
    tree.device(DISK, class_code=0x010802).block("nvme0n1", "259:0", f"{tree.path(DISK)}/nvme/nvme0")
    for number in range(count):
        tree.mapper(f"dm-{number}", f"253:{number}", f"vg0-volume{number}").holder("nvme0n1", f"dm-{number}")
    tree.mounts(
        *(
            (f"0:{number}", f"/mnt/{number}", f"/dev/mapper/vg0-volume{number}", "btrfs")
            for number in range(count)
        )
    )
    attributes = attributes_of(tree)
    began = time.process_time()
    (uses,) = storage_uses(attributes, read_blocks(attributes)).values()
    assert len(uses) == count
    assert time.process_time() - began < 2


def critical(tree: HostTree, address: str) -> list[tuple[UsageKind, bool]]:
    """Return the kinds of use of a device, and whether the host stops without it."""
    return [(usage.kind, usage.critical) for usage in device_of(tree, address).usage]


@pytest.mark.parametrize(
    ("point", "stops"),
    [
        ("/", True),
        ("/boot", True),
        ("/boot/efi", True),
        ("/efi", True),
        ("/usr", True),
        ("/home", False),
        ("/boot2", False),
        ("/mnt/usr", False),
    ],
)
def test_the_host_stops_without_what_it_runs_from(disks: HostTree, point: str, *, stops: bool) -> None:
    """Its root, its boot files; a data disk is only lost."""
    disks.mounts(("259:2", "/data", "/dev/nvme0n1p2", "ext4"), ("259:2", point, "/dev/nvme0n1p2", "ext4"))
    assert critical(disks, DISK) == [(MOUNT, stops)]


def test_the_host_stops_without_its_swap(disks: HostTree) -> None:
    """Through everything that is in between as well."""
    disks.mapper("dm-0", "253:0", "vg0-swap").holder("nvme0n1p1", "dm-0").swaps("/dev/mapper/vg0-swap")
    disks.raid("md0", "9:0").holder("nvme1n1p1", "md0").mounts(("9:0", "/", "/dev/md0", "ext4"))
    assert critical(disks, DISK) == [(SWAP, True)]
    assert critical(disks, OTHER) == [(MOUNT, True)]


def test_a_swap_file_makes_its_file_system_one_to_stop_without(disks: HostTree) -> None:
    """It is on the mount with the longest way in common, whose device says nothing of swap."""
    disks.mounts(
        ("259:2", "/srv", "/dev/nvme0n1p2", "ext4"),
        ("259:4", "/srv/swap", "/dev/nvme1n1p1", "ext4"),
        ("259:5", "/srv/swapper", "/dev/nvme1n1p2", "ext4"),
    )
    disks.swaps("/srv/swap/file\\0401")
    assert critical(disks, DISK) == [(MOUNT, False)]
    assert critical(disks, OTHER) == [(MOUNT, True), (MOUNT, False)]


@pytest.mark.parametrize(("point", "stops"), [("/", True), ("/data", False)])
def test_the_host_stops_without_a_member_of_its_root(disks: HostTree, point: str, *, stops: bool) -> None:
    """Of btrfs only one member is shown as mounted, of ZFS none."""
    disks.mounts(("0:40", point, "/dev/nvme0n1p2", "btrfs"))
    for name in ("nvme0n1p2", "nvme1n1p2"):
        disks.folder(f"/sys/fs/btrfs/5f1c1b5e-6a1b-4a56-9f2e-3f8d6f0b1c11/devices/{name}")
    assert critical(disks, OTHER) == [(MEMBER, stops)]
    disks.remove("/sys/fs/btrfs")
    for number in ("259:2", "259:5"):
        udev(disks, number, "btrfs", "u")
    assert critical(disks, OTHER) == [(MEMBER, stops)]
    disks.mounts(("0:41", point, "rpool/ROOT/debian", "zfs"), ("0:42", "/", "tank/x", "ext4"))
    udev(disks, "259:2", "zfs_member", label="tank")
    udev(disks, "259:5", "zfs_member", label="rpool")
    assert (critical(disks, DISK), critical(disks, OTHER)) == ([(MEMBER, False)], [(MEMBER, stops)])
