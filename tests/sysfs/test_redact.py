from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fixtures import HOST_NAMES
from tests.support.strategies import entry_trees
from tests.sysfs.reading import root_of, written
from vfioctl.sysfs.entries import Denied, Directory, Entry, File, Link, complete
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.redact import redact
from vfioctl.sysfs.snapshot import capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fixtures import Recorded
    from tests.support.tree import HostTree

NIC, DISK = "0000:01:00.0", "0000:03:00.0"
MOUNTS = "/proc/self/mountinfo"


def text_of(path: str, text: str, *names: str) -> str:
    """Return what becomes of a file's text."""
    (entry,) = redact([File(path, text.encode())], names)
    assert isinstance(entry, File)
    return entry.content.decode()


@pytest.mark.parametrize(
    "address",
    ["52:54:00:12:34:56", "AA:BB:CC:DD:EE:FF", "00:11:22:ff:fe:33:44:55"],
)
def test_mac_addresses_are_replaced(address: str) -> None:
    """Of six bytes, and of eight (EUI-64)."""
    assert text_of("/sys/x", f"a {address}\n") == "a 02:00:00:00:00:00\n"


@pytest.mark.parametrize(
    "text",
    [
        "0000:01:00.0",
        "52:54:00:12:34",
        "pci:v00008086d00001533sv00008086sd00000001bc02sc00i00",
        "1:2:3:4:5:6",
    ],
)
def test_what_is_no_mac_address_stays(text: str) -> None:
    """PCI addresses above all."""
    assert text_of("/sys/x", text) == text


def test_the_mac_address_in_an_ipv6_address_is_replaced() -> None:
    """Wherever the kernel prints it: the prefix stays, so that routes still match."""
    line = "20010db800000000505400fffe123456 02 40 00 00 eth0\n"
    expected = "20010db8000000000000000000000001 02 40 00 00 eth0\n"
    assert text_of("/proc/net/if_inet6", line) == expected
    other = "20010db8000000001234567812345678 02 40 00 00 eth0\n"
    assert text_of("/proc/net/if_inet6", other) == other


def test_interfaces_that_are_named_after_their_mac_are_renamed_everywhere() -> None:
    """In paths, links and tables, each to the same name; VLANs on them as well."""
    entries: list[Entry] = [
        File("/proc/net/route", b"Iface\nenx0011223344ff\t0\nwlx525400123456\t0\n"),
        Link("/sys/class/net/enx0011223344ff", "../../devices/x/net/enx0011223344ff"),
        Directory("/sys/devices/x/net/enx0011223344ff"),
        Denied("/sys/devices/x/net/enx0011223344ff/flags", "EACCES"),
        Link("/sys/devices/x/net/enx0011223344ff/upper_enx0011223344ff.5", "../enx0011223344ff.5"),
    ]
    renamed = redact(entries, ())
    assert renamed == [
        File("/proc/net/route", b"Iface\nenx020000000001\t0\nwlx020000000002\t0\n"),
        Link("/sys/class/net/enx020000000001", "../../devices/x/net/enx020000000001"),
        Directory("/sys/devices/x/net/enx020000000001"),
        Denied("/sys/devices/x/net/enx020000000001/flags", "EACCES"),
        Link("/sys/devices/x/net/enx020000000001/upper_enx020000000001.5", "../enx020000000001.5"),
    ]
    assert redact(renamed, ()) == renamed


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("E:ID_SERIAL=S4XN", "E:ID_SERIAL=redacted"),
        ("E:ID_SERIAL_SHORT=S4XN", "E:ID_SERIAL_SHORT=redacted"),
        ("serial: 4711, x", "serial: redacted, x"),
        ("wwn=0x5000", "wwn=redacted"),
        ("transn=5", "transn=5"),
        ("E:ID_FS_TYPE=ext4", "E:ID_FS_TYPE=ext4"),
    ],
)
def test_serial_numbers_are_replaced(text: str, redacted: str) -> None:
    """Where something says that it is one."""
    assert text_of("/run/udev/data/b8:0", text) == redacted


def test_ids_of_file_systems_are_numbered() -> None:
    """Members of one file system still have one id, members of another another."""
    entries = [
        File(f"/run/udev/data/b8:{at}", f"E:ID_FS_UUID={uuid}\n".encode()) for at, uuid in enumerate("aba")
    ]
    redacted = redact(entries, ())
    assert [entry.content for entry in redacted if isinstance(entry, File)] == [
        b"E:ID_FS_UUID=redacted-1\n",
        b"E:ID_FS_UUID=redacted-2\n",
        b"E:ID_FS_UUID=redacted-1\n",
    ]
    assert redact(redacted, ()) == redacted


def test_the_kernels_list_of_file_systems_is_numbered_alike() -> None:
    """In the names of folders and in udev's words; what is not named after an id stays."""
    uuid = "0d9a3b6e-1111-2222-3333-444455556666"
    entries: list[Entry] = [
        File("/run/udev/data/b8:0", f"E:ID_FS_UUID={uuid}\n".encode()),
        Link(f"/sys/fs/btrfs/{uuid}/devices/sda1", "../../../../devices/sda1"),
        Directory("/sys/fs/btrfs/features"),
    ]
    assert redact(entries, ()) == [
        File("/run/udev/data/b8:0", b"E:ID_FS_UUID=redacted-1\n"),
        Directory("/sys/fs/btrfs/features"),
        Link("/sys/fs/btrfs/redacted-1/devices/sda1", "../../../../devices/sda1"),
    ]


@pytest.mark.parametrize(
    ("path", "text", "redacted"),
    [
        ("/sys/devices/virtual/block/dm-0/dm/name", "web--1-root\n", "host-root\n"),
        ("/sys/devices/virtual/block/dm-0/dm/name", "vg--Web--1--data-root\n", "vg--host--data-root\n"),
        (MOUNTS, "1 2 3:4 / /mnt/web-1 rw - ext4 /dev/mapper/web--1-x rw\n",
         "1 2 3:4 / /mnt/host rw - ext4 /dev/mapper/host-x rw\n"),
        ("/proc/sys/kernel/hostname", "web-1.example.com\n", "host\n"),
        ("/run/udev/data/b8:1", "E:ID_FS_LABEL=web-1\n", "E:ID_FS_LABEL=host\n"),
        ("/proc/12/cmdline", "qemu\0-name\0guest=db.web-1\0", "qemu\0-name\0guest=db.host\0"),
        ("/proc/self/mountinfo", "web-10 web-1x aweb-1", "web-10 web-1x aweb-1"),
        ("/sys/devices/x/driver_override", "web-1\n", "web-1\n"),
    ],
)  # fmt: skip
def test_the_hosts_name_is_replaced_where_people_write_it(path: str, text: str, redacted: str) -> None:
    """Full or short, as device mapper spells it, in any case; attributes of hardware are left alone."""
    assert text_of(path, text, "web-1.example.com") == redacted


@pytest.mark.parametrize("name", ["dev", "vfio", "ext4", "MAPPER", "localhost", "pc", ""])
def test_a_host_with_an_ordinary_word_for_a_name_keeps_its_sense(name: str) -> None:
    """Replaced, it would make the tables wrong; and nobody is found by it."""
    line = "1 2 3:4 / /srv/vfio rw - ext4 /dev/mapper/x rw\n"
    assert text_of(MOUNTS, line, name) == line


@pytest.mark.parametrize(
    ("source", "hidden"),
    [
        ("nfs4 filer.example.com:/export rw,addr=192.0.2.1", True),
        ("cifs //filer/share rw,username=me", True),
        ("fuse.sshfs me@filer:/home rw", True),
        ("ext4 /dev/sda1 rw", False),
        ("bcachefs /dev/sda:/dev/sdb rw", False),
        ("tmpfs tmpfs rw", False),
    ],
)
def test_where_network_file_systems_are_from_is_hidden(source: str, hidden: bool) -> None:
    """Another host, its export, and who we are there."""
    line = f"1 2 3:4 / /mnt rw shared:1 - {source}"
    kind = source.partition(" ")[0]
    assert text_of(MOUNTS, f"{line}\n") == (
        f"1 2 3:4 / /mnt rw shared:1 - {kind} redacted rw\n" if hidden else f"{line}\n"
    )
    assert text_of("/sys/x", line) == line


def test_lines_that_are_no_mounts_stay() -> None:
    """A table may be cut short."""
    text = "nonsense\n1 2 3:4 / /mnt rw -\n1 2 3:4 / / rw - nfs\n"
    assert text_of(MOUNTS, text) == text


def test_the_configuration_space_is_left_alone() -> None:
    """It is bytes, and what was read of it has no serial number."""
    config = File("/sys/devices/x/config", b"52:54:00:12:34:56" + bytes(range(256)))
    assert redact([config], ["web"]) == [config]


def test_a_redacted_host_is_the_same_but_for_the_names(tree: HostTree, tmp_path: Path) -> None:
    """Devices, groups and what is used for what stay as they are."""
    tree.device(NIC, driver="igb", group=1).net("enx001122334455", NIC).device(DISK, class_code=0x010802)
    tree.network({"enx001122334455": ["192.0.2.7/24"]}, default="enx001122334455")
    tree.block("nvme0n1", "259:0", f"{tree.path(DISK)}/nvme/nvme0").mapper("dm-0", "253:0", "web1-root")
    tree.holder("nvme0n1", "dm-0")
    tree.mounts(("0:31", "/", "/dev/mapper/web1-root", "btrfs"), ("0:40", "/mnt", "filer:/x", "nfs"))
    host, entries = capture(root_of(tree))
    redacted = redact(entries, ["web1"])
    again = read_host(written(redacted, tmp_path))
    assert again.groups == host.groups
    bare = [device._replace(usage=(), net_interfaces=()) for device in host.devices]
    assert [device._replace(usage=(), net_interfaces=()) for device in again.devices] == bare
    details = [usage.detail for device in again.devices for usage in device.usage]
    assert details == [
        "enx020000000001 is up",
        "enx020000000001 has the address 192.0.2.7",
        "the default route (IPv4) leaves through enx020000000001",
        "nvme0n1 (through host-root) is mounted on /",
    ]
    everything = repr(redacted)
    assert "web1" not in everything
    assert "001122334455" not in everything
    assert "filer" not in everything


@pytest.mark.no_cover
@pytest.mark.parametrize("name", HOST_NAMES)
def test_redacting_a_sample_host_changes_no_device(
    name: str, tmp_path: Path, sample_snapshot: Callable[[str], Recorded]
) -> None:
    """Whatever its name is said to be; and it can be redacted again."""
    host, entries, _ = sample_snapshot(name)
    redacted = redact(entries, ["vfio", "pcieport", "nvme0n1", "db1.example.com"])
    again, second = capture(written(redacted, tmp_path))
    assert again.groups == host.groups
    assert again.unread == host.unread
    assert [device._replace(usage=()) for device in again.devices] == [
        device._replace(usage=()) for device in host.devices
    ]
    kinds = [[usage.kind for usage in device.usage] for device in host.devices]
    assert [[usage.kind for usage in device.usage] for device in again.devices] == kinds
    assert redact(second, ["db1"]) == second


@given(entry_trees(), st.lists(st.text("abc-.", min_size=1, max_size=6), max_size=3))
def test_redacting_twice_is_redacting_once(entries: tuple[Entry, ...], names: list[str]) -> None:
    """And no tree is an error; kinds and number of entries stay."""
    once = redact(entries, names)
    assert redact(once, names) == once
    assert [type(entry) for entry in once] == [type(entry) for entry in entries]
    assert len(complete(once)) == len(entries)
