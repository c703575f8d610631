"""What a recorded host is made of: folders, files, links, and what could not be read.

Paths are absolute and as the host knows them (``/sys/bus/pci/devices``). A recorded tree may come from
a stranger, so every entry passes an `Intake` before anything of it is written.
"""

from __future__ import annotations

from vfioctl import __version__
from vfioctl.model.pattern import pattern
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

MAX_ENTRIES = 400_000
"""Entries one tree may have; a host with 4,096 devices has about 150,000."""

MAX_FILE = 16 << 20
"""Bytes one file may have."""

MAX_TOTAL = 512 << 20
"""Bytes all files of one tree may have together."""

MAX_PATH = 4095
"""Bytes of a path: the kernel's PATH_MAX without its terminating zero."""

MAX_NAME = 255
"""Bytes of one name: the kernel's NAME_MAX."""

BLOCKED = "EBLOCKED"
"""The error name of a read that did not come back (K55): no errno, the reader gave up."""


class Directory(NamedTuple):
    """A folder."""

    path: str


class File(NamedTuple):
    """An attribute and what it read as."""

    path: str
    content: bytes


class Link(NamedTuple):
    """A symbolic link; its target is relative, since an absolute one would leave the recorded tree."""

    path: str
    target: str


class Denied(NamedTuple):
    """A path that exists but could not be read, with the name of the error (EACCES, EPERM, EBLOCKED ...).

    On disk it is an empty file: a listing shows the name, and the manifest says what reading it gave.
    """

    path: str
    errno: str


Entry: TypeAlias = Directory | File | Link | Denied
"""One thing in a recorded tree."""


class Meta(NamedTuple):
    """Where a recorded host is from."""

    origin: str = ""
    redacted: bool = False
    created_by: str = f"vfioctl {__version__}"


class EntryError(ValueError):
    """An entry that a tree cannot hold; the text says which and why."""


def complete(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the entries in path order with every parent folder present and none repeated.

    Raises EntryError where two entries claim one path.
    """
    found: dict[str, Entry] = {}
    for entry in entries:
        known = found.get(entry.path)
        if known is not None and not (isinstance(known, Directory) and isinstance(entry, Directory)):
            raise EntryError(f"{entry.path!r} appears twice")
        found[entry.path] = entry
    for path in tuple(found):
        parent = path.rpartition("/")[0]
        while parent and parent not in found:
            found[parent] = Directory(parent)
            parent = parent.rpartition("/")[0]
    return tuple(sorted(found.values(), key=lambda entry: entry.path.split("/")))


def check(entries: Iterable[Entry]) -> None:
    """Raise EntryError unless these entries make a tree that can be opened again."""
    intake = Intake()
    for entry in entries:
        match entry:
            case Directory(path):
                intake.directory(path)
            case File(path, content):
                intake.file(path)
                intake.content(path, len(content))
            case Link(path, target):
                intake.link(path, target)
            case Denied(path):
                intake.denied(path)


class Intake:
    """Checks and counts the entries of a stranger's tree, in the order in which they arrive.

    Every method raises EntryError. What passes cannot lead out of the tree: folders are real folders,
    never links, and a link climbs only at its start, so each step of following it stays inside.
    """

    def __init__(self, max_total: int = MAX_TOTAL) -> None:
        """Start with an empty tree that may grow to this many bytes."""
        self._kinds: dict[str, type[Entry]] = {}
        self._left = self._max_total = max_total

    def directory(self, path: str) -> None:
        """Take in a folder; a folder may be named more than once."""
        self._place(path, Directory)

    def file(self, path: str) -> None:
        """Take in a file; its bytes are counted by `content`."""
        self._place(path, File)

    def content(self, path: str, size: int) -> None:
        """Count the bytes of a file, as read and not as announced."""
        if size > MAX_FILE:
            raise EntryError(f"{path!r} is larger than {MAX_FILE >> 20} MiB")
        self._left -= size
        if self._left < 0:
            raise EntryError(f"more than {self._max_total >> 20} MiB when unpacked")

    def link(self, path: str, target: str) -> None:
        """Take in a link whose target stays inside the tree."""
        _check_target(path, target)
        self._place(path, Link)

    def denied(self, path: str) -> None:
        """Take in a path that the recording user could not read."""
        self._place(path, Denied)

    def is_file(self, path: str) -> bool:
        """Tell whether this path was taken in as a file."""
        return self._kinds.get(path) is File

    def _place(self, path: str, kind: type[Entry]) -> None:
        _check_path(path)
        self._place_parents(path)
        known = self._kinds.get(path)
        if known is None:
            self._add(path, kind)
        elif known is not Directory or kind is not Directory:
            raise EntryError(f"{path!r} appears twice")

    def _place_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        while parent and parent not in self._kinds:
            self._add(parent, Directory)
            parent = parent.rpartition("/")[0]
        if parent and self._kinds[parent] is not Directory:
            raise EntryError(f"{path!r} lies below {parent!r}, which is not a folder")

    def _add(self, path: str, kind: type[Entry]) -> None:
        if len(self._kinds) >= MAX_ENTRIES:
            raise EntryError(f"more than {MAX_ENTRIES:,} entries")
        self._kinds[path] = kind


def _check_path(path: str) -> None:
    if not path.startswith("/"):
        raise EntryError(f"{path!r} is not an absolute path")
    names = path[1:].split("/")
    if "" in names or "." in names or ".." in names:
        raise EntryError(f"{path!r} is not a plain path: '.', '..' or an empty name in it")
    if len(_utf8(path)) > MAX_PATH or any(len(_utf8(name)) > MAX_NAME for name in names):
        raise EntryError(f"{path[:40]!r}... is too long for a path")


_TARGET = pattern(r"(?s)(?P<climb>(?:\.\./)*(?:\.\.$)?)(?P<rest>.*)")


def _check_target(path: str, target: str) -> None:
    """Refuse a target that is absolute, climbs above the tree, or climbs after a name.

    A ``..`` after a name may follow that name through another link to a lower depth than the text
    shows; no link of sysfs or procfs is written so.
    """
    match = _TARGET.fullmatch(target)
    climb, rest = match.group("climb", "rest") if match else ("", "/")
    leaves = target.startswith("/") or climb.count("..") >= path.count("/")
    if leaves or ".." in rest.split("/") or not 0 < len(_utf8(target)) <= MAX_PATH:
        raise EntryError(f"the link {path!r} leads out of the tree, to {target[:200]!r}")


def _utf8(text: str) -> bytes:
    if "\0" in text:
        raise EntryError(f"a zero byte in the name {text[:200]!r}")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise EntryError(f"the name {text[:200]!r} is not UTF-8") from None
