"""Which programs keep nodes of VFIO and of GPUs open, found without touching the nodes (K28, K30, K35)."""

from __future__ import annotations

import itertools

from vfioctl.model.pattern import pattern
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vfioctl.sysfs.attribute import Attributes, Files
    from vfioctl.sysfs.folder import OpenFolder

# "/dev/vfio/17", "/dev/vfio/noiommu-17" or "/dev/vfio/devices/vfio0"; a snapshot keeps it relative.
OPEN_NODE = pattern(
    r"[./]*(dev/(?:vfio/(?:devices/vfio\d+|(?:noiommu-)?\d+)|dri/(?:card|renderD)\d+|accel/accel\d+|kfd"
    r"|nvidia(?:\d+|ctl|-modeset|-uvm(?:-tools)?)))"
)
_KINDS = ("dev/vfio/", "dev/dri/", "dev/accel/", "dev/kfd", "dev/nvidia")


class Holder(NamedTuple):
    """A program that has a node open."""

    node: str
    pid: int
    program: str
    vm: str | None
    """The name of the virtual machine, where the program is one that has a VFIO node open."""

    def usage(self) -> Usage:
        """Say it as a use."""
        if self.vm is not None:
            detail = f"VM {self.vm} ({self.program}, pid {self.pid}) has {self.node} open"
            return Usage(UsageKind.VM, f"pid {self.pid}", detail)
        detail = f"{self.program} (pid {self.pid}) has {self.node} open"
        return Usage(UsageKind.PROCESS, f"pid {self.pid}", detail)


def read_holders(attributes: Attributes) -> tuple[Holder, ...]:
    """Look through every process's open files; other users' are unknown without root."""
    nodes = {pid: _open_nodes(attributes, pid) for pid in attributes.names(root.PROCESSES, str.isdecimal)}
    programs = _identify(attributes.files, {pid: opened for pid, opened in nodes.items() if opened})
    return tuple(Holder(node, int(pid), *programs[pid]) for pid, opened in nodes.items() for node in opened)


def _open_nodes(attributes: Attributes, pid: str) -> list[str]:
    try:
        folder = attributes.files.folder(f"{root.PROCESSES}/{pid}/fd")
    except PermissionError:
        _note(attributes)
        return []
    except OSError:
        return []
    try:
        return sorted({node for name in folder.names() if (node := _node(folder, name))})
    except PermissionError:
        # Root without CAP_SYS_PTRACE may list the files of a program that has more capabilities, and no more.
        _note(attributes)
        return []
    except OSError:
        return []
    finally:
        folder.close()


def _note(attributes: Attributes) -> None:
    # One note for all of them: which processes there are is of no interest.
    attributes.unread[f"{root.PROCESSES}/*/fd"] = (
        "permission denied (nodes of VFIO and GPUs that other users' programs have open)"
    )


def _node(folder: OpenFolder, name: str) -> str | None:
    try:
        opened = folder.link(name)
    except PermissionError:
        raise
    except OSError:
        return None
    # Most are sockets, pipes and /dev/null: re is imported only for what may be one.
    found = OPEN_NODE.fullmatch(opened) if any(kind in opened for kind in _KINDS) else None
    return f"/{found[1]}" if found else None


def _identify(files: Files, opened: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, str | None]]:
    """Return by process its program's name and, for a virtual machine, its name."""
    programs: dict[str, tuple[str, str | None]] = {}
    for pid, comm, command in _commands(files, [pid for pid in opened if any(map(_is_vfio, opened[pid]))]):
        programs[pid] = comm, vm_name(command.split("\0"))
    for pid in opened.keys() - programs.keys():
        programs[pid] = _comm(files, pid), None
    return programs


def _commands(files: Files, pids: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield processes with their programs' names and command lines."""
    if not files.can_block or not pids:
        for pid in pids:
            yield pid, _comm(files, pid), _command(files, pid)
        return
    from vfioctl.sysfs.disposable import gather

    # Reading a command line needs the memory lock of a process that may be stuck.
    results = gather(pids, lambda pid: (_comm(files, pid), _command(files, pid)), files=files)
    for pid, result in zip(pids, results, strict=True):
        yield pid, *(result or ("a program that does not answer", ""))


def _is_vfio(node: str) -> bool:
    return node.startswith(root.VFIO_GROUP_NODES)


def _comm(files: Files, pid: str) -> str:
    return _process_file(files, f"{root.PROCESSES}/{pid}/comm").removesuffix("\n")


def _command(files: Files, pid: str) -> str:
    return _process_file(files, f"{root.PROCESSES}/{pid}/cmdline").rstrip("\0")


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
