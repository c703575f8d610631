"""The effects themselves, carried out where they may block: in a writing process."""

from __future__ import annotations

import errno
import os
import stat
from time import monotonic, sleep

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
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root as paths
from vfioctl.sysfs.attribute import printable
from vfioctl.sysfs.root import HostRoot
from vfioctl.typed import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from vfioctl.apply.port import Single

_PAGE = 4096
_MOST_TEXT = 2000
_LOOK = 0.01
_UNCHANGED = -1
_UDEV = "/run/udev/control"
"""The socket of udev's daemon."""


class Kernel(NamedTuple):
    """Carries out commands below a root; for anything but a test that is ``/``."""

    root: HostRoot = HostRoot()

    def perform(self, command: Single) -> Answer:
        """Do it and keep the errno."""
        try:
            return Answer(text=self._do(command))
        except OSError as error:
            return Answer(error.errno or errno.EIO, error.strerror or "")
        except _ModprobeError as error:
            return Answer(errno.EIO, str(error))

    def _do(self, command: Single) -> str:
        text = ""
        match command:
            case Write(path, content):
                _write(self.root.local(path), content.encode())
            case ReadLink(path):
                text = os.readlink(self.root.local(path)).rsplit("/", 1)[-1]
            case ReadText(path):
                text = _read(self.root.local(path))
            case Look(path):
                os.stat(self.root.local(path))
            case OpenToWrite(path):
                os.close(os.open(self.root.local(path), os.O_WRONLY | os.O_CLOEXEC))
            case Modprobe(module):
                _modprobe(module)
            case _:
                text = self._do_around(command)
        return text

    def _do_around(self, command: AwaitNodes | Settle | ReadOwner | SetOwner) -> str:
        """Do what is not the kernel's: nodes belong to udev and to file systems."""
        text = ""
        match command:
            case AwaitNodes():
                text = _await_nodes(self.root, command)
            case Settle(patience):
                _settle_in_time(self.root, patience)
            case ReadOwner(path):
                text = _owner(self.root.local(path))
            case SetOwner(path, uid, gid, mode):
                _set_owner(self.root.local(path), uid, gid, mode)
            case _:
                assert_never(command)
        return text


def _write(path: str, content: bytes) -> None:
    # Neither created nor truncated: what is not there is an answer. One write, or the kernel would take
    # the parts for several requests.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.EIO, "written in part only")
    finally:
        os.close(descriptor)


def _read(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return printable(os.read(descriptor, _PAGE))
    finally:
        os.close(descriptor)


class _ModprobeError(Exception):
    """modprobe said no."""


def _modprobe(module: str) -> None:
    import subprocess

    try:
        ended = subprocess.run(
            ["modprobe", "--", module],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(),
            check=False,
        )
    except FileNotFoundError:
        raise _ModprobeError("there is no modprobe on the PATH") from None
    if ended.returncode != 0:
        said = (ended.stderr or ended.stdout).decode("utf-8", "backslashreplace").strip()
        raise _ModprobeError(said[:_MOST_TEXT] or f"modprobe ended with {ended.returncode}")


def _await_nodes(root: HostRoot, command: AwaitNodes) -> str:
    """Return the nodes' paths once they stand."""
    until = monotonic() + command.patience
    nodes = _expected_nodes(root, command)
    if not nodes:
        raise OSError(errno.ENOENT, "VFIO has made no node")
    while not all(os.path.exists(root.local(node)) for node in nodes):
        if monotonic() >= until:
            raise OSError(errno.ENOENT, "the node has not come")
        sleep(_LOOK)
    if root.live:
        settle(until - monotonic())
    return "\n".join(nodes)


def _expected_nodes(root: HostRoot, command: AwaitNodes) -> list[str]:
    """Return the nodes that sysfs announces: those of the group, and those of its functions (K27)."""
    nodes = [
        f"{paths.VFIO_GROUP_NODES}/{name}"
        for name in (str(command.group), f"noiommu-{command.group}")
        if os.path.exists(root.local(f"{paths.VFIO_GROUPS}/{name}/dev"))
    ]
    for member in command.members:
        folder = root.local(f"{paths.PCI_DEVICES}/{member}/vfio-dev")
        if os.path.isdir(folder):
            nodes += [
                f"{paths.VFIO_DEVICE_NODES}/{name}"
                for name in sorted(os.listdir(folder))
                if os.path.exists(f"{folder}/{name}/dev")
            ]
    return nodes


def _settle_in_time(root: HostRoot, patience: float) -> None:
    if root.live and not settle(patience):
        raise OSError(errno.ETIMEDOUT, "udev has not come to an end")


def settle(patience: float) -> bool:
    """Let udev finish: its rules would set owner and mode again after us (K59). Tells whether it has."""
    import subprocess

    command = ["udevadm", "settle", f"--timeout={max(1, round(patience))}"]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=environment(), check=False
        )
    except FileNotFoundError:
        return True  # no udev, no rules
    # Without a daemon it ends at once, with an error: then nobody loads a module or sets a mode either.
    return ended.returncode == 0 or not os.path.exists(_UDEV)


def environment() -> dict[str, str]:
    """Return surroundings in which administrators' programs are found, also from cron, and speak English.

    Nothing else is handed on: what is set for modprobe or for the dynamic linker is not for a program of
    root's. Of the PATH, folders are passed over in which others could put a modprobe of their own.
    """
    asked = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return {"PATH": os.pathsep.join((*filter(_is_safe, asked), "/usr/sbin", "/sbin")), "LC_ALL": "C"}


def _is_safe(folder: str) -> bool:
    """Tell whether only root and this user say what is in a folder; the current one is whoever's it is."""
    try:
        found = os.stat(folder)
    except OSError:
        return False
    mine = found.st_uid in {0, os.geteuid()} and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return folder.startswith("/") and mine


def _owner(path: str) -> str:
    found = os.stat(path)
    return f"{found.st_uid} {found.st_gid} {found.st_mode & 0o7777:04o}"


def _set_owner(path: str, uid: int | None, gid: int | None, mode: int | None) -> None:
    # One look-up for both, and a link is not followed; the node is not opened, which would use the device.
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_ISLNK(os.fstat(descriptor).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        this = f"/proc/self/fd/{descriptor}"
        if uid is not None or gid is not None:
            os.chown(this, _UNCHANGED if uid is None else uid, _UNCHANGED if gid is None else gid)
        if mode is not None:
            os.chmod(this, mode)
    finally:
        os.close(descriptor)
