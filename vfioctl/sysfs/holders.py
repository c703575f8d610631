"""Which programs keep VFIO nodes open, found without touching the nodes (K28, K30)."""

from __future__ import annotations

import itertools
import re

from vfioctl.model.usage import Usage, UsageKind
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.sysfs.attribute import Attributes, Files

# "/dev/vfio/17", "/dev/vfio/noiommu-17" or "/dev/vfio/devices/vfio0"; a snapshot keeps it relative.
OPEN_NODE = re.compile(r"[./]*(dev/vfio/(?:devices/vfio\d+|(?:noiommu-)?\d+))")


class Holder(NamedTuple):
    """A program that has a VFIO node open."""

    node: str
    pid: int
    program: str
    vm: str | None
    """The name of the virtual machine, where the program is one."""

    def usage(self) -> Usage:
        """Say it as a use."""
        if self.vm is not None:
            detail = f"VM {self.vm} ({self.program}, pid {self.pid}) has {self.node} open"
            return Usage(UsageKind.VM, f"pid {self.pid}", detail)
        detail = f"{self.program} (pid {self.pid}) has {self.node} open"
        return Usage(UsageKind.PROCESS, f"pid {self.pid}", detail)


def read_holders(attributes: Attributes) -> tuple[Holder, ...]:
    """Look through every process's open files; other users' are unknown without root."""
    files = attributes.files
    holders: list[Holder] = []
    for pid in attributes.names(root.PROCESSES, str.isdecimal):
        nodes = _open_nodes(attributes, pid)
        if nodes:
            program, vm = _identify(files, pid)
            holders.extend(Holder(node, int(pid), program, vm) for node in nodes)
    return tuple(holders)


def _open_nodes(attributes: Attributes, pid: str) -> list[str]:
    path = f"{root.PROCESSES}/{pid}/fd"
    try:
        names = attributes.files.names(path)
    except PermissionError:
        # One note for all of them: which processes there are is of no interest.
        attributes.unread[f"{root.PROCESSES}/*/fd"] = (
            "permission denied (vfio nodes that other users' programs have open)"
        )
        return []
    except OSError:
        return []
    return sorted({node for name in names if (node := _node(attributes.files, f"{path}/{name}"))})


def _node(files: Files, path: str) -> str | None:
    try:
        found = OPEN_NODE.fullmatch(files.link(path))
    except OSError:
        return None
    return f"/{found[1]}" if found else None


def _identify(files: Files, pid: str) -> tuple[str, str | None]:
    """Return a program's name and, for a virtual machine, its name."""
    if not files.can_block:
        comm, command = _command(files, pid)
    else:
        from vfioctl.sysfs.disposable import gather

        # Reading a command line needs the memory lock of a process that may be stuck.
        (result,) = gather([pid], lambda job: (*_command(files, job), files.drain()))
        comm, command, traces = result or ("a program that does not answer", "", [])
        files.absorb(traces)
    return comm, vm_name(command.split("\0"))


def _command(files: Files, pid: str) -> tuple[str, str]:
    path = f"{root.PROCESSES}/{pid}"
    comm, command = _process_file(files, f"{path}/comm"), _process_file(files, f"{path}/cmdline")
    return comm.removesuffix("\n"), command.rstrip("\0")


def _process_file(files: Files, path: str) -> str:
    try:
        return files.read(path).decode("utf-8", "backslashreplace")
    except OSError:
        return ""


def vm_name(arguments: list[str]) -> str | None:
    """Return the name a virtual machine was given: QEMU's ``-name``, or ``--name`` of others."""
    pairs: Iterator[tuple[str, str]] = itertools.pairwise(arguments)
    for option, value in pairs:
        if option in {"-name", "--name"}:
            # "guest=web1,debug-threads=on" or just "web1"
            parts = value.split(",")
            named = [part.removeprefix("guest=") for part in parts if part.startswith("guest=")]
            return (named or parts)[0] or None
    return None
