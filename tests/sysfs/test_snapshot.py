from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.lspci import listed, lspci
from tests.support.machines import machines
from tests.sysfs.reading import at, host_of, refuse, root_of, unlink, unread_of, written
from vfioctl.sysfs.denied import BLOCKED, BLOCKED_REASON
from vfioctl.sysfs.drivers import read_drivers
from vfioctl.sysfs.entries import Denied, Directory, Entry, File, Link, check, complete
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.recording import RecordingFiles
from vfioctl.sysfs.root import HostRoot
from vfioctl.sysfs.snapshot import _reachable, capture

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.support.tree import HostTree
    from vfioctl.model.host import Host

NIC, GPU = "0000:01:00.0", "0000:02:00.0"
QEMU = ["/usr/bin/qemu-system-x86_64", "-name", "guest=web1,x=y", "-object", "secret,id=s0,data=hunter2"]


def read_back(root: HostRoot, folder: Path) -> Host:
    """Check that a snapshot reads as the host it was made of, and a snapshot of it as well; return that."""
    host, entries = capture(root)
    assert host == read_host(root)
    snapshot = written(entries, folder)
    again, second = capture(snapshot)
    assert again == host
    assert read_drivers(snapshot) == read_drivers(root)
    assert second == entries
    return again


def content(entries: Iterable[Entry], path: str) -> bytes:
    """Return the content of a file of a snapshot."""
    (found,) = (entry.content for entry in entries if isinstance(entry, File) and entry.path == path)
    return found


@pytest.fixture
def machine(tree: HostTree) -> HostTree:
    """Return a machine that has a bit of everything."""
    tree.bridge("0000:00:01.0", 1, group=1).device(NIC, parent="0000:00:01.0", driver="igb", group=2)
    tree.device(GPU, "10de:2204", 0x030000, group=3, boot_vga=True).device(
        "0000:03:00.0", class_code=0x010802
    )
    tree.device("0000:01:10.0", virtual_function=True, parent="0000:00:01.0", group=4)
    tree.virtual_functions(NIC, 7, ["0000:01:10.0"]).vfio(GPU, 0, cdev="511:0").slot("4", "0000:02:00")
    tree.net("eth0", NIC).net("br0").enslave("eth0", "br0").network({"br0": ["192.0.2.7/24"]}, default="br0")
    tree.block("nvme0n1", "259:0", f"{tree.path('0000:03:00.0')}/nvme/nvme0")
    tree.mapper("dm-0", "253:0", "vg0-root").holder("nvme0n1", "dm-0")
    tree.mounts(("253:0", "/", "/dev/mapper/vg0-root", "ext4")).process(4711, QEMU, {8: "/dev/vfio/3"})
    tree.file("/proc/iomem", "").folder("/sys/class/iommu/dmar0")
    return tree.folder("/sys/class/devlink/pci:0000:01:00.0--pci:0000:02:00.0")


def test_a_snapshot_reads_as_the_host(machine: HostTree, tmp_path: Path) -> None:
    """read(snapshot(read(h))) == read(h)."""
    host = read_back(root_of(machine), tmp_path)
    assert len(host.devices) == 5
    assert {usage.kind.value for device in host.devices for usage in device.usage} == {
        "address", "console", "interface", "master", "mount", "route", "vm",
    }  # fmt: skip
    assert host.unread == ()


def test_a_snapshot_holds_what_was_read_and_no_more(machine: HostTree) -> None:
    """Files that the reader does not open are not in it, whoever may want them."""
    machine.attributes(NIC, uevent="SECRET", local_cpus="ff", serial_number="4711").file(
        "/etc/shadow", "root:x"
    )
    machine.file(f"{machine.path(NIC)}/net/eth0/address", "52:54:00:12:34:56").file(
        "/proc/4711/environ", "S=1"
    )
    machine.process(99, ["ssh", "secret@host"], {3: "/home/me/letter"})
    _, entries = capture(root_of(machine))
    paths = {entry.path for entry in entries}
    for absent in ("uevent", "local_cpus", "serial_number", "shadow", "address", "environ", "sriov_numvfs"):
        assert not any(path.endswith(f"/{absent}") for path in paths if "/slots/" not in path), absent
    assert not any(path.startswith("/proc/99") for path in paths)
    assert f"{machine.path(NIC)}/modalias" in paths


def test_the_configuration_space_is_kept_as_far_as_it_was_read(machine: HostTree) -> None:
    """The header of endpoints; of ports the capabilities and ACS, and zeros in between."""
    bridge = f"{machine.path('0000:00:01.0')}/config"
    whole = content(machine.entries(), bridge)
    _, entries = capture(root_of(machine.file(bridge, whole[:0x200] + b"\xaa" * 16 + whole[0x210:])))
    kept = content(entries, bridge)
    assert kept == whole[: len(kept)]
    assert len(kept) == 0x108
    assert len(content(entries, f"{machine.path(NIC)}/config")) == 64


def test_of_a_command_line_only_program_and_vm_are_kept(machine: HostTree, tmp_path: Path) -> None:
    """Arguments hold secrets."""
    root = root_of(machine)
    _, entries = capture(root)
    assert content(entries, "/proc/4711/cmdline") == b"/usr/bin/qemu-system-x86_64\0-name\0guest=web1\0"
    read_back(root, tmp_path)


@pytest.mark.parametrize(
    "name", [b"guest=caf\xe9", b"guest=x ", b"guest=", b"guest=a b", b"plain,opt=1", b"\xff\xfe", b"guest=\n"]
)
def test_odd_names_of_vms_are_kept(machine: HostTree, tmp_path: Path, name: bytes) -> None:
    """In any encoding."""
    machine.file("/proc/4711/cmdline", b"qemu\0-name\0" + name + b"\0-m\x004G\0")
    read_back(root_of(machine), tmp_path)


def test_of_udevs_database_only_file_systems_are_kept(machine: HostTree) -> None:
    """It has serial numbers."""
    machine.file(
        "/run/udev/data/b259:0", "S:disk/by-id/x\nE:ID_SERIAL=S4X\nE:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=t\n"
    )
    _, entries = capture(root_of(machine))
    assert content(entries, "/run/udev/data/b259:0") == b"E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=t\n"


@pytest.mark.parametrize("errno", ["EACCES", "EPERM", "EIO", "EINVAL", "ENODEV", "EOPNOTSUPP", BLOCKED])
@pytest.mark.parametrize(
    "name",
    ["modalias", "vendor", "config", "driver", "iommu_group", "driver_override", "resource", "physfn",
     "sriov_totalvfs", "virtfn0", "mdev_supported_types", "reset_method", "vfio-dev"],
)  # fmt: skip
def test_what_was_refused_is_refused_again(machine: HostTree, tmp_path: Path, name: str, errno: str) -> None:
    """Attributes, links and folders alike, each with its own error."""
    path = f"{machine.path(NIC)}/{name}"
    if not os.path.lexists(root_of(machine).local(path)):
        machine.file(path, "")
    read_back(root_of(machine.deny(path, errno)), tmp_path)


@pytest.mark.parametrize(
    "path",
    ["/proc/self/mountinfo", "/proc/net/route", "/sys/class/block/dm-0", "/sys/class/net/eth0",
     "/sys/kernel/iommu_groups/3/type", "/proc/4711/fd/8", "/proc/4711/cmdline", "/proc/iomem"],
)  # fmt: skip
def test_what_was_refused_elsewhere_is_refused_again(machine: HostTree, tmp_path: Path, path: str) -> None:
    """Also beside the devices."""
    read_back(root_of(machine.deny(path)), tmp_path)


@pytest.mark.parametrize(
    "folder",
    ["/sys/class/net", "/sys/class/block", "/sys/kernel/iommu_groups", "/sys/kernel/iommu_groups/3/devices",
     "/proc/4711/fd", "/sys/class/vfio", "/sys/bus/pci/slots"],
)  # fmt: skip
def test_folders_that_were_refused_are_refused_again(machine: HostTree, tmp_path: Path, folder: str) -> None:
    """A listing is a read as well."""
    host = read_back(root_of(refuse(machine, folder)), tmp_path)
    assert len(host.unread) == 1


@pytest.mark.parametrize("errno", ["EACCES", BLOCKED])
def test_a_device_that_was_refused_as_a_whole_is_so_again(
    machine: HostTree, tmp_path: Path, errno: str
) -> None:
    """What hangs below it elsewhere in the tree stays (K55)."""
    host = read_back(root_of(machine.deny(f"/sys/bus/pci/devices/{NIC}", errno)), tmp_path)
    assert set(unread_of(host)) == {NIC}


def test_a_device_whose_folder_was_refused_is_so_again(machine: HostTree, tmp_path: Path) -> None:
    """Its link is listed, and where that leads is closed."""
    place = machine.path(GPU)
    host = read_back(root_of(refuse(machine, place)), tmp_path)
    assert unread_of(host)[GPU] == "permission denied"


def test_nothing_is_recorded_below_what_was_refused() -> None:
    """In a snapshot it is an empty file, below which there is no place."""
    entries: list[Entry] = [
        Denied("/sys/a", "EACCES"),
        File("/sys/a/b", b""),
        Directory("/sys/a/c/d"),
        File("/sys/ab", b""),
    ]
    assert list(_reachable({entry.path: entry for entry in entries})) == [entries[0], entries[3]]


def test_what_is_gone_before_it_is_looked_at_again_is_not_recorded(tree: HostTree) -> None:
    """Its name was listed, and that was all."""
    recording = RecordingFiles(root_of(tree.file("/sys/class/x/a", "").link("/sys/class/x/b", "/sys/b")))
    assert recording.names("/sys/class/x") == ["a", "b"]
    tree.remove("/sys/class/x/a")
    assert set(recording.entries()) == {"/sys/class/x", "/sys/class/x/b"}


def test_a_group_that_blocked_as_a_whole_does_so_again(machine: HostTree, tmp_path: Path) -> None:
    """It is listed, and nothing else is known of it."""
    host = read_back(root_of(refuse(machine, "/sys/kernel/iommu_groups/2", BLOCKED)), tmp_path)
    assert unread_of(host) == {"2": BLOCKED_REASON}


def test_an_unbind_that_waits_is_in_the_snapshot(machine: HostTree, tmp_path: Path) -> None:
    """Without the driver's link, and with the override unknown."""
    unlink(machine, f"{machine.path(GPU)}/driver")
    host = read_back(root_of(machine), tmp_path)
    assert host.by_address[at(GPU)].unbinding
    assert unread_of(host) == {"driver_override": BLOCKED_REASON}


def test_what_could_not_be_listed_of_other_programs_is_kept_once(machine: HostTree, tmp_path: Path) -> None:
    """Which programs run on a host is nobody's concern; that they hide something is."""
    for pid in range(100, 110):
        machine.deny(f"/proc/{pid}/fd")
    root = root_of(machine)
    _, entries = capture(root)
    assert [entry.path for entry in entries if isinstance(entry, Denied)] == ["/proc/100/fd"]
    assert len(read_back(root, tmp_path).unread) == 1


def test_absolute_links_of_procfs_become_relative(machine: HostTree) -> None:
    """An absolute target would lead out of the snapshot."""
    local = root_of(machine).local("/proc/4711/fd/8")
    os.unlink(local)
    os.symlink("/dev/vfio/3", local)
    _, entries = capture(root_of(machine))
    assert Link("/proc/4711/fd/8", "../../../dev/vfio/3") in entries


def test_oddities_survive(machine: HostTree, tmp_path: Path) -> None:
    """Folders for files and links, files for folders, links to nowhere, and odd names."""
    machine.remove(f"{machine.path(NIC)}/power_state").folder(f"{machine.path(NIC)}/power_state")
    machine.folder(f"{machine.path(GPU)}/physfn")
    machine.file(f"{machine.path(GPU)}/mdev_supported_types", "").folder("/sys/bus/pci/devices/odd")
    machine.file("/sys/class/net/bonding_masters", "bond0").folder("/sys/class/graphics/fb0")
    machine.link("/sys/bus/pci/devices/0000:09:00.0", "/sys/devices/gone").folder(
        "/sys/kernel/iommu_groups/x"
    )
    machine.file("/sys/kernel/iommu_groups/9", "").link(
        "/sys/class/block/gone", "/sys/devices/gone/block/gone"
    )
    read_back(root_of(machine), tmp_path)


def test_a_device_that_is_a_folder_survives(tree: HostTree, tmp_path: Path) -> None:
    """Recordings that copied instead of linking can be recorded again."""
    for name, value in {"vendor": "0x8086", "device": "0x1533", "class": "0x020000"}.items():
        tree.file(f"/sys/bus/pci/devices/{NIC}/{name}", f"{value}\n")
    assert len(read_back(root_of(tree), tmp_path).devices) == 1


def test_a_device_that_goes_away_between_reads_leaves_no_trace(machine: HostTree) -> None:
    """The snapshot has what was there when it was looked at last."""
    local = root_of(machine).local(machine.path(NIC))
    shutil.rmtree(local)
    host, entries = capture(root_of(machine))
    assert at(NIC) not in host.by_address
    assert not any(entry.path.startswith(f"{machine.path(NIC)}/config") for entry in entries)
    check(complete(entries))


def test_the_running_system_reads_as_its_snapshot(tmp_path: Path) -> None:
    """With whatever this machine has; what changes between two reads of it is not compared."""
    host, entries = capture(HostRoot())
    assert read_host(written(entries, tmp_path)) == host
    assert all(isinstance(entry, Directory | File | Link | Denied) for entry in entries)


@pytest.mark.slow
def test_a_large_host_is_recorded_by_several_processes(tree: HostTree, tmp_path: Path) -> None:
    """What they read comes together."""
    for number in range(300):
        tree.device(f"0000:{number // 32 + 1:02x}:{number % 32:02x}.0", group=number)
    assert len(read_back(root_of(tree), tmp_path).devices) == 300


def test_lspci_can_read_a_snapshot(machine: HostTree, tmp_path: Path) -> None:
    """With its verbose output as well: beside what is read, the files it needs are kept."""
    host, entries = capture(root_of(machine))
    copy = written(entries, tmp_path)
    assert listed(host) == lspci(copy.base)
    command = ["lspci", "-D", "-vvv", "-A", "linux-sysfs", "-O", f"sysfs.path={copy.base}/sys/bus/pci"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    # Where there are no kernel modules it has something to say about that.
    complaints = [line for line in ended.stderr.splitlines() if "libkmod" not in line]
    assert (ended.returncode, complaints) == (0, [])


@pytest.mark.no_cover
@settings(
    max_examples=settings().max_examples // 2,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    deadline=None,
)
@given(machine=machines(), data=st.data())
def test_generated_machines_with_refusals_read_as_their_snapshots(
    tmp_path_factory: pytest.TempPathFactory, machine: HostTree, data: st.DataObject
) -> None:
    """Any attribute of any machine may be refused, with any error."""
    files = [
        entry.path
        for entry in machine.entries()
        if isinstance(entry, File | Link) and "/devices" in entry.path
    ]
    if files:
        for path in data.draw(st.lists(st.sampled_from(files), max_size=6)):
            machine.deny(path, data.draw(st.sampled_from(["EACCES", "EIO", "ENODEV", BLOCKED])))
    folder = tmp_path_factory.mktemp("machine")
    read_back(written(machine.entries(), folder), folder)


def test_an_empty_host_has_a_snapshot(tree: HostTree, tmp_path: Path) -> None:
    """No device, no group."""
    assert read_back(root_of(tree), tmp_path) == host_of(tree)
