"""Which processes have VFIO nodes open, in whichever mount namespace, by device numbers (K27, K30).

A container has a node of its own: neither a path nor an inotify watch on the host's node tells of it. A link
in ``/proc/PID/fd`` is followed by ``stat`` only where its text may be such a node, since a file on a network
could keep a ``stat`` waiting.
"""

from __future__ import annotations

import os
from time import monotonic

from vfioctl.model.pattern import pattern
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root
from vfioctl.sysfs.attribute import Attributes, Files
from vfioctl.sysfs.root import HostRoot
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Whatever the container calls its node: runtimes make it below /dev, and its mount may be shown without it.
_MAY_BE_NODE = pattern(r"/(?:dev/.*|.*vfio.*)")
LATELY = 20.0
"""Seconds for which what was seen is not looked for again."""
_NUMBER = pattern(r"(\d+):(\d+)")
_GROUP = pattern(r"(?:noiommu-)?(\d+)")


class Opener(NamedTuple):
    """A process that has a group's node, or that of a device in it, open."""

    group: int
    pid: int
    program: str

    def __str__(self) -> str:
        """Name the process."""
        return f"pid {self.pid} ({self.program})"


def look_for_openers() -> tuple[Opener, ...]:
    """Look on this host; may block, so that it is called in a process of its own."""
    return read_openers(node_numbers(Attributes(Files(HostRoot()))))


_lately: tuple[float, tuple[Opener, ...]] | None = None


def openers_of_late() -> tuple[Opener, ...]:
    """Return what `look_for_openers` does, or did a moment ago.

    For who looks at the host whenever a device changes: all open files of all programs are a lot to look at.
    """
    global _lately  # noqa: PLW0603 - the memory of one process, which only looks
    now = monotonic()
    if _lately is None or now - _lately[0] > LATELY:
        _lately = now, look_for_openers()
    return _lately[1]


def node_numbers(attributes: Attributes) -> dict[int, int]:
    """Return the IOMMU group of each VFIO node, by the node's device number."""
    found: dict[int, int] = {}
    for name in attributes.names(root.VFIO_GROUPS):
        group = _GROUP.fullmatch(name)
        if group is not None:
            _add(found, attributes.text(f"{root.VFIO_GROUPS}/{name}/dev"), group[1])
    for name in attributes.names(root.VFIO_DEVICES):
        folder = f"{root.VFIO_DEVICES}/{name}"
        real = attributes.target(folder)
        device = real.rpartition("/vfio-dev/")[0] if real is not None else ""
        group_name = attributes.link_name(f"{device}/iommu_group") if device else None
        _add(found, attributes.text(f"{folder}/dev"), group_name or "")
    return found


def _add(found: dict[int, int], number: str | None, group: str) -> None:
    parts = _NUMBER.fullmatch(number or "")
    if parts is not None and group.isdecimal():
        found[os.makedev(int(parts[1]), int(parts[2]))] = int(group)


def read_openers(numbers: Mapping[int, int], processes: str = root.PROCESSES) -> tuple[Opener, ...]:
    """Look through every process's open files; without root only through one's own."""
    if not numbers:
        return ()
    found = {
        (group, int(pid))
        for pid in os.listdir(processes)
        if pid.isdecimal()
        for group in _open_groups(f"{processes}/{pid}/fd", numbers)
    }
    return tuple(Opener(group, pid, _program(f"{processes}/{pid}")) for group, pid in sorted(found))


def _open_groups(folder: str, numbers: Mapping[int, int]) -> Iterator[int]:
    try:
        names = os.listdir(folder)
    except OSError:
        return  # It ended, or is another user's.
    for name in names:
        path = f"{folder}/{name}"
        try:
            if _MAY_BE_NODE.fullmatch(os.readlink(path)):
                group = numbers.get(os.stat(path).st_rdev)
                if group is not None:
                    yield group
        except OSError:
            continue  # Closed meanwhile.


def _program(folder: str) -> str:
    try:
        with open(f"{folder}/comm", encoding="utf-8", errors="backslashreplace") as file:
            return file.read().removesuffix("\n")
    except OSError:
        return "ended"
