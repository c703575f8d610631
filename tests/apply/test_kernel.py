"""The effects, on a folder that looks like sysfs; that they have effect is the lab's to show."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vfioctl.apply import kernel as effects
from vfioctl.apply.kernel import Kernel, settle
from vfioctl.apply.port import (
    Answer,
    AwaitNodes,
    Look,
    Modprobe,
    OpenToWrite,
    ReadLink,
    ReadOwner,
    ReadText,
    SetOwner,
    Settle,
    Write,
)
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from vfioctl.apply.port import Single

NIC = "/sys/bus/pci/devices/0000:01:00.0"
PROBE = "/sys/bus/pci/drivers_probe"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with one device."""
    folder = tmp_path / "root" / NIC[1:]
    folder.mkdir(parents=True)
    (folder / "driver_override").write_bytes(b"(null)\n")
    (folder / "driver").symlink_to("../../../bus/pci/drivers/e1000e")
    return tmp_path / "root"


@pytest.fixture
def kernel(root: Path) -> Kernel:
    """Return a kernel below that root."""
    return Kernel(HostRoot(str(root)))


def test_reads(kernel: Kernel) -> None:
    """A link's last part, and a text without its newline."""
    assert kernel.perform(ReadLink(f"{NIC}/driver")) == Answer(text="e1000e")
    assert kernel.perform(ReadText(f"{NIC}/driver_override")) == Answer(text="(null)")
    assert kernel.perform(Look(NIC)) == Answer()
    assert kernel.perform(OpenToWrite(f"{NIC}/driver_override")) == Answer()


@pytest.mark.parametrize(
    "command",
    [
        ReadLink(f"{NIC}/x"),
        ReadText(f"{NIC}/x"),
        Look(f"{NIC}/x"),
        OpenToWrite(PROBE),
        Write(PROBE, "0000:01:00.0"),
        ReadOwner("/dev/vfio/17"),
        SetOwner("/dev/vfio/17", 0, 0, None),
        SetOwner("/dev/vfio/17", None, None, 0o600),
    ],
    ids=str,
)
def test_what_is_not_there_is_an_answer_and_is_not_made(kernel: Kernel, root: Path, command: Single) -> None:
    """The errno is kept."""
    assert kernel.perform(command).errno == errno.ENOENT
    assert sorted(root.iterdir()) == [root / "sys"]
    assert not Path(f"{root}{PROBE}").exists()


def test_a_write_does_not_truncate(kernel: Kernel, root: Path) -> None:
    """An attribute is no file."""
    assert kernel.perform(Write(f"{NIC}/driver_override", "\n")) == Answer()
    assert Path(f"{root}{NIC}/driver_override").read_bytes() == b"\nnull)\n"


def test_a_write_is_one_call(kernel: Kernel, root: Path) -> None:
    """Parts would be requests of their own."""
    os.mkfifo(root / "attribute")
    sizes: list[int] = []

    def read() -> None:
        with open(root / "attribute", "rb", buffering=0) as pipe:
            while part := pipe.read(1 << 16):
                sizes.append(len(part))

    reader = threading.Thread(target=read)
    reader.start()
    assert kernel.perform(Write("/attribute", "x" * 4000)) == Answer()
    reader.join(10)
    assert sizes == [4000]


class TestModules:
    """What modprobe says is kept."""

    @pytest.mark.parametrize(
        ("script", "expected"),
        [
            ('[ "$*" = "-- vfio_pci" ] && [ "$LC_ALL" = C ]', Answer()),
            (
                "echo 'modprobe: FATAL: not found' >&2; exit 1",
                Answer(errno.EIO, "modprobe: FATAL: not found"),
            ),
            ("exit 3", Answer(errno.EIO, "modprobe ended with 3")),
        ],
    )
    def test_modprobe(
        self,
        kernel: Kernel,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        script: str,
        expected: Answer,
    ) -> None:
        """Its answer, from wherever it is found first."""
        program = tmp_path / "modprobe"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

        assert kernel.perform(Modprobe("vfio_pci")) == expected


class TestNodes:
    """Nodes are those that sysfs announces (K27)."""

    @staticmethod
    def announce(root: Path, *nodes: str) -> None:
        """Let VFIO make a group and a function's node, and these of them be there in /dev."""
        for folder in (root / "sys/class/vfio/17", root / NIC[1:] / "vfio-dev/vfio0"):
            folder.mkdir(parents=True)
            (folder / "dev").write_text("243:0\n")
        (root / "dev/vfio/devices").mkdir(parents=True)
        for node in nodes:
            (root / "dev/vfio" / node).write_text("")

    def test_all_of_them_are_found(self, kernel: Kernel, root: Path) -> None:
        """The group's, and the function's own where the kernel makes such."""
        self.announce(root, "17", "devices/vfio0")

        answer = kernel.perform(AwaitNodes(17, ("0000:01:00.0", "0000:01:00.1"), 0.0))

        assert answer == Answer(text="/dev/vfio/17\n/dev/vfio/devices/vfio0")
        assert kernel.perform(AwaitNodes(17, (), 0.0)) == Answer(text="/dev/vfio/17")

    def test_one_that_comes_later_is_waited_for(self, kernel: Kernel, root: Path) -> None:
        """Without devtmpfs it is udev that makes them."""
        self.announce(root, "17")
        clock = threading.Timer(0.03, (root / "dev/vfio/devices/vfio0").write_text, [""])
        clock.start()

        assert kernel.perform(AwaitNodes(17, ("0000:01:00.0",), 10.0)).errno is None
        clock.join()

    def test_one_that_does_not_come_is_an_answer(self, kernel: Kernel, root: Path) -> None:
        """And so is a group that VFIO does not know."""
        self.announce(root, "17")

        assert kernel.perform(AwaitNodes(17, ("0000:01:00.0",), 0.02)).errno == errno.ENOENT
        assert kernel.perform(AwaitNodes(18, (), 10.0)).errno == errno.ENOENT

    def test_owner_and_mode(self, kernel: Kernel, root: Path) -> None:
        """Only what is asked for changes."""
        self.announce(root, "17")
        os.chmod(root / "dev/vfio/17", 0o600)
        uid, gid = os.getuid(), os.getgid()

        assert kernel.perform(ReadOwner("/dev/vfio/17")) == Answer(text=f"{uid} {gid} 0600")
        assert kernel.perform(SetOwner("/dev/vfio/17", None, None, 0o660)) == Answer()
        assert kernel.perform(ReadOwner("/dev/vfio/17")) == Answer(text=f"{uid} {gid} 0660")
        assert kernel.perform(SetOwner("/dev/vfio/17", uid, gid, None)) == Answer()
        assert kernel.perform(ReadOwner("/dev/vfio/17")) == Answer(text=f"{uid} {gid} 0660")
        if uid == 0:
            kernel.perform(SetOwner("/dev/vfio/17", 1000, None, None))
            assert kernel.perform(ReadOwner("/dev/vfio/17")) == Answer(text=f"1000 {gid} 0660")


@pytest.mark.parametrize(
    ("script", "daemon", "settled"),
    [("exit 0", True, True), ("exit 1", True, False), ("exit 1", False, True), (None, True, True)],
    ids=["done", "still at work", "no daemon", "no udev"],
)
def test_udev_is_waited_for_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, *, daemon: bool, settled: bool
) -> None:
    """Without a daemon nobody loads a module or sets a mode: there is nothing to wait for."""
    if script is not None:
        (tmp_path / "udevadm").write_text(f'#!/bin/sh\n[ "$1 $2" = "settle --timeout=2" ] && {script}\n')
        (tmp_path / "udevadm").chmod(0o755)
    monkeypatch.setattr(effects, "environment", lambda: {"PATH": str(tmp_path)})
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(effects, "_UDEV", str(tmp_path) if daemon else str(tmp_path / "control"))

    assert settle(2.0) is settled


def test_a_recorded_host_has_no_udev_to_wait_for(kernel: Kernel) -> None:
    """The one of this machine has nothing to do with it."""
    assert kernel.perform(Settle(60.0)) == Answer()
