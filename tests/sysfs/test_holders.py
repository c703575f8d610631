from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.descriptors import open_files
from tests.sysfs.reading import attributes_of, host_of, root_of, unread_of, uses_of
from vfioctl.model.usage import UsageKind
from vfioctl.sysfs.attribute import Attributes, Files
from vfioctl.sysfs.folder import CheckedFolder
from vfioctl.sysfs.holders import OPEN_NODE, Holder, read_holders, vm_name
from vfioctl.sysfs.recording import RecordingFiles
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from tests.support.tree import HostTree

NIC, GPU, AUDIO = "0000:01:00.0", "0000:02:00.0", "0000:02:00.1"
VM, PROCESS, MDEV = UsageKind.VM, UsageKind.PROCESS, UsageKind.MDEV
QEMU = ["/usr/bin/qemu-system-x86_64", "-name", "guest=web1,debug-threads=on", "-m", "4G"]


@pytest.fixture
def bound(tree: HostTree) -> HostTree:
    """Return a machine with a card and a GPU on vfio-pci, the GPU's audio function beside it."""
    tree.device(NIC, group=1).device(GPU, class_code=0x030000, group=2).device(AUDIO, group=2, driver="snd")
    return tree.vfio(NIC, 0, cdev="511:0").vfio(GPU, 1)


def test_a_vm_that_holds_a_group_is_named(bound: HostTree) -> None:
    """It is a use of the members that were given to VFIO, not of the host's own."""
    bound.process(4711, QEMU, {7: "/dev/vfio/vfio", 8: "/dev/vfio/2", 9: "/dev/null"})
    held = (VM, "VM web1 (qemu-system-x86, pid 4711) has /dev/vfio/2 open")
    assert uses_of(bound, GPU) == [held]
    assert uses_of(bound, AUDIO) == []
    assert uses_of(bound, NIC) == []


def test_a_device_with_a_node_of_its_own_is_held_by_that(bound: HostTree) -> None:
    """With iommufd only the device's node is open (K27)."""
    bound.process(
        12, ["dpdk-testpmd", "-l", "1"], {30: "/dev/vfio/devices/vfio0", 31: "/dev/vfio/devices/vfio0"}
    )
    assert uses_of(bound, NIC) == [(PROCESS, "dpdk-testpmd (pid 12) has /dev/vfio/devices/vfio0 open")]
    assert uses_of(bound, GPU) == []


def test_a_node_of_nobody_is_nobodys_use(bound: HostTree) -> None:
    """A group that went away under its holder."""
    bound.process(12, ["x"], {3: "/dev/vfio/99", 4: "/dev/vfio/devices/vfio9"})
    assert all(device.usage == () for device in host_of(bound).devices)


def test_who_holds_a_mediated_device_is_a_use_of_its_parent(bound: HostTree) -> None:
    """Taking the parent away would take it from the VM; its group is not the parent's (K53)."""
    uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
    path = f"{bound.path(AUDIO)}/{uuid}"
    bound.link(f"/sys/bus/mdev/devices/{uuid}", path).group(path, 9)
    bound.link("/sys/class/vfio/9", "/sys/devices/virtual/vfio/9").process(5, QEMU, {3: "/dev/vfio/9"})
    bound.process(6, QEMU, {3: "/dev/vfio/1"})
    assert uses_of(bound, AUDIO) == [
        (MDEV, f"it is the parent of the mediated device {uuid}"),
        (VM, "VM web1 (qemu-system-x86, pid 5) has /dev/vfio/9 open"),
    ]


def test_without_vfio_nodes_no_process_is_looked_at(tree: HostTree) -> None:
    """The walk through all processes is spared, and with it what could not be read there."""
    tree.device(NIC, driver="igb").deny("/proc/1/fd")
    assert host_of(tree).unread == ()


def test_programs_of_other_users_are_unknown_and_said_once(bound: HostTree) -> None:
    """Who else holds a node cannot be told without root (K31)."""
    bound.deny("/proc/1/fd").deny("/proc/2/fd").process(3, ["x"], {3: "/dev/vfio/1"}).deny(
        "/proc/4/fd", "EIO"
    )
    host = host_of(bound)
    assert [note.path for note in host.unread] == ["/proc/*/fd"]
    assert unread_of(host)["fd"].startswith("permission denied")
    assert uses_of(bound, NIC) == [(PROCESS, "x (pid 3) has /dev/vfio/1 open")]


def test_open_files_that_may_be_listed_and_not_looked_at_are_unknown(bound: HostTree) -> None:
    """As root without CAP_SYS_PTRACE has them, of whoever has more capabilities than he."""
    bound.process(3, QEMU, {3: "/dev/vfio/1"}).deny("/proc/3/fd/3", "EACCES")

    assert [note.path for note in host_of(bound).unread] == ["/proc/*/fd"]


def test_a_program_that_ends_meanwhile_has_no_name(bound: HostTree) -> None:
    """It was there when its files were listed."""
    bound.link("/proc/3/fd/3", "/dev/vfio/1").file("/proc/3/fd/4", "").folder("/proc/4/task")
    (holder,) = read_holders(attributes_of(bound))
    assert holder == Holder("/dev/vfio/1", 3, "", None)


@pytest.mark.parametrize(
    ("target", "node"),
    [
        ("/dev/vfio/17", "dev/vfio/17"),
        ("../../../dev/vfio/17", "dev/vfio/17"),
        ("/dev/vfio/noiommu-3", "dev/vfio/noiommu-3"),
        ("/dev/vfio/devices/vfio0", "dev/vfio/devices/vfio0"),
        ("/dev/vfio/vfio", None),
        ("/dev/vfio/17 (deleted)", None),
        ("/home/x/dev/vfio/17", None),
        ("anon_inode:[vfio-device]", None),
    ],
)
def test_open_nodes_are_told_from_other_files(target: str, node: str | None) -> None:
    """As the kernel writes them, and as a snapshot keeps them, relative."""
    found = OPEN_NODE.fullmatch(target)
    assert (found and found[1]) == node


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["qemu", "-name", "guest=web1,debug-threads=on"], "web1"),
        (["qemu", "-name", "debug-threads=on,guest=web1"], "web1"),
        (["qemu", "-name", "web1"], "web1"),
        (["qemu", "-name", "web1,process=x"], "web1"),
        (["cloud-hypervisor", "--name", "db"], "db"),
        (["qemu", "-name", "guest="], None),
        (["qemu", "-name", ""], None),
        (["qemu", "-name"], None),
        (["qemu"], None),
        ([""], None),
    ],
)
def test_a_vm_is_called_what_its_command_line_says(arguments: list[str], name: str | None) -> None:
    """QEMU's option in each of its forms, and that of others."""
    assert vm_name(arguments) == name


def test_names_in_another_encoding_are_shown_as_numbers(bound: HostTree) -> None:
    """Command lines are bytes."""
    bound.process(5, QEMU, {3: "/dev/vfio/1"}).file("/proc/5/cmdline", b"qemu\0-name\0guest=caf\xe9\0")
    assert uses_of(bound, NIC) == [(VM, "VM caf\\xe9 (qemu-system-x86, pid 5) has /dev/vfio/1 open")]


def test_a_live_program_is_named_and_the_recording_has_it_too() -> None:
    """On the running system the command line is read by a child, whose reads must not be lost."""
    program = "import time; print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", program, "-name", "guest=web1,x=y"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as vm:
        assert vm.stdout is not None
        vm.stdout.readline()
        files = _PretendedNodes(HostRoot(), vm.pid)
        (holder,) = read_holders(Attributes(files))
        vm.kill()
    assert (holder.node, holder.pid, holder.vm) == ("/dev/vfio/7", vm.pid, "web1")
    assert holder.program.startswith("python")
    read = {path for how, path, _ in files.drain() if how == "file"}
    assert read == {f"/proc/{vm.pid}/comm", f"/proc/{vm.pid}/cmdline"}


class _PretendedNodes(RecordingFiles):
    """The running system, where one program has a node open that this machine does not have."""

    def __init__(self, root: HostRoot, pid: int) -> None:
        super().__init__(root)
        self._pid = pid

    def folder(self, path: str) -> CheckedFolder:
        """Open a folder."""
        folder = super().folder(path)
        return _PretendedFolder(path) if path == f"/proc/{self._pid}/fd" else folder


class _PretendedFolder(CheckedFolder):
    """The open files of a program that has a node open."""

    def __init__(self, path: str) -> None:
        super().__init__(path, path, {})

    def link(self, name: str) -> str:
        """Return where a link leads."""
        return "/dev/vfio/7" if name == "0" else super().link(name)


def test_reading_the_running_system_leaves_nothing_open() -> None:
    """Thousands of descriptors are looked at."""
    before = open_files()
    read_holders(Attributes(Files(HostRoot())))
    assert open_files() <= before


def test_a_root_without_procfs_has_no_holders(tree: HostTree) -> None:
    """Recordings of sysfs alone."""
    assert read_holders(Attributes(Files(HostRoot(f"{root_of(tree).base}/sys")))) == ()
