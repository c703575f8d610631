"""What stands in a host's files about bindings, vfioctl's own and others'."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.entry_tree import Tree
from vfioctl.errors import UsageError
from vfioctl.model.address import PciAddress
from vfioctl.model.persisted import FOLDER, MODULES, RULES, Card, Foreign, Stored
from vfioctl.plan.persist import device_path, device_text, modules_text, rules_text
from vfioctl.sysfs.persisted import read_persisted
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

A, B = PciAddress(0, 0x65, 0, 0), PciAddress(0x10000, 0xE1, 0x1F, 7)
STORED = (
    Stored(A, "vfio-pci", Card(0x10DE, 0x2204, 0x1043, 0x87D9), 0x030000, "0000:64/00.0/00.0"),
    Stored(B, 'odd "driver\\'.replace('"', "'"), Card(0x8086, 0x0953, None, None), 0x010802, None),
)
T1 = Card(0x10DE, 0x1EB8, None, None)


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    """Addresses, unknown parts and odd names come back as they were."""
    tree = Tree(tmp_path).file(RULES, rules_text(STORED) or "").file(MODULES, modules_text(STORED) or "")
    for one in STORED:
        tree.file(device_path(one.address), device_text(one))

    persisted = read_persisted(HostRoot(str(tmp_path)))

    assert persisted.stored == STORED
    assert (persisted.rules, persisted.modules) == (rules_text(STORED), modules_text(STORED))
    assert (persisted.foreign, persisted.initramfs, persisted.unread) == ((), (), ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not toml",
        device_text(STORED[1]),
        device_text(STORED[0]).replace("10de", "what"),
        device_text(STORED[0]).replace("vfio-pci", "a\\u000ab"),
        device_text(STORED[0]).replace('"vfio-pci"', '"\\""'),
        device_text(STORED[0]).replace("0000:65:00.0", "65"),
    ],
    ids=["empty", "no toml", "of another", "no number", "line break", "quotation mark", "no address"],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    """It is neither skipped nor guessed at: half a line of it would become a line of udev's."""
    Tree(tmp_path).file(device_path(A), text)

    with pytest.raises(UsageError, match=r"0000:65:00\.0\.toml is damaged"):
        read_persisted(HostRoot(str(tmp_path)))


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("/etc/driverctl.d/pci-0000:65:00.0", "nvme\n", {"driver": "nvme", "address": A}),
        ("/etc/driverctl.d/vmbus-x", "nvme\n", None),
        ("/etc/modprobe.d/a.conf", "options vfio-pci ids=10de:1eb8", {"driver": "vfio-pci", "cards": (T1,)}),
        (
            "/usr/lib/modprobe.d/a.conf",
            "options vfio_pci disable_vga=1 ids=10de:1eb8, 10de:1aef",
            {"driver": "vfio-pci", "cards": (T1,)},
        ),
        ("/etc/modprobe.d/a.conf", "#options vfio-pci ids=10de:1eb8", None),
        ("/etc/modprobe.d/a.conf.bak", "options vfio-pci ids=10de:1eb8", None),
        ("/etc/modprobe.d/a.conf", "blacklist vfio-pci", {"blocks": "vfio_pci"}),
        (
            "/proc/cmdline",
            "quiet vfio_pci.ids=10de:1eb8:1043:ffffffff,zzz",
            {"driver": "vfio-pci", "cards": (T1._replace(subsystem_vendor_id=0x1043),)},
        ),
        ("/proc/cmdline", "quiet pci-stub.ids=10DE:1EB8", {"driver": "pci-stub", "cards": (T1,)}),
        (
            "/etc/udev/rules.d/9.rules",
            'KERNEL=="0000:65:00.0", \\\n ATTR{driver_override}="vfio-pci"',
            {"driver": "vfio-pci", "address": A},
        ),
        (
            "/lib/udev/rules.d/9.rules",
            'ATTR{vendor}=="0x10de", ATTR{device}=="0x1eb8", RUN+="/bin/driver_override $kernel"',
            {"driver": None, "cards": (T1,)},
        ),
        (RULES, 'ATTR{driver_override}="vfio-pci"', None),
    ],
)
def test_other_mechanisms_are_recognised(
    tmp_path: Path, path: str, text: str, found: dict[str, Any] | None
) -> None:
    """Each by its own spelling; comments, other files and vfioctl's own are none."""
    Tree(tmp_path).file(path, text)

    foreign = read_persisted(HostRoot(str(tmp_path))).foreign

    if found is None:
        assert foreign == ()
        return
    (one,) = foreign
    empty = Foreign(one.mechanism, path, one.text)
    assert one == empty._replace(**found)


def test_of_files_with_one_name_the_administrators_counts(tmp_path: Path) -> None:
    """As modprobe and udev have it: /etc hides what the distribution ships."""
    tree = Tree(tmp_path).file("/etc/modprobe.d/vfio.conf", "# nothing\n")
    tree.file("/usr/lib/modprobe.d/vfio.conf", "options vfio-pci ids=10de:1eb8\n")

    assert read_persisted(HostRoot(str(tmp_path))).foreign == ()


def test_what_may_not_be_read_is_unknown_and_the_initramfs_program_is_found(tmp_path: Path) -> None:
    """Unknown is not absent."""
    Tree(tmp_path).file("/usr/share/initramfs-tools/hook-functions", "")
    root = HostRoot(str(tmp_path), {FOLDER: "EACCES", RULES: "EACCES"})

    persisted = read_persisted(root)

    assert persisted.initramfs == ("initramfs-tools",)
    assert persisted.unread == (RULES, FOLDER)
