"""Make a snapshot: exactly what the reader reads, by recording its reads.

Because the reader itself is recorded, reading the snapshot gives the same host again. Beside that only the
id files are kept which other tools (lspci) need to read the same tree.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from vfioctl.sysfs import root as paths
from vfioctl.sysfs.attribute import Files, resolve
from vfioctl.sysfs.denied import BLOCKED, BLOCKED_REASON, denied_error
from vfioctl.sysfs.display import FIRMWARE_FRAMEBUFFERS
from vfioctl.sysfs.entries import Denied, Directory, Entry, File, Link
from vfioctl.sysfs.folder import CheckedFolder
from vfioctl.sysfs.holders import OPEN_NODE, vm_name
from vfioctl.sysfs.reader import read_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from vfioctl.model.host import Host
    from vfioctl.sysfs.attribute import Trace
    from vfioctl.sysfs.root import HostRoot

T = TypeVar("T")

# What lspci needs beside what this program reads.
_FOR_OTHER_TOOLS = ("vendor", "device", "class", "subsystem_vendor", "subsystem_device", "irq", "modalias")
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR})

_COMMAND = re.compile(r"/proc/\d+/cmdline")
_OPEN_FILE = re.compile(r"(/proc/\d+)/fd/\d+")
_OPEN_FILES = re.compile(r"/proc/\d+/fd")
_PROCESS = re.compile(r"(/proc/\d+)(?:/.*)?")
_UDEV_KEYS = (b"E:ID_FS_TYPE=", b"E:ID_FS_LABEL=", b"E:ID_FS_UUID=")


def capture(root: HostRoot) -> tuple[Host, list[Entry]]:
    """Read a host and return it with everything that was read, ready to be written."""
    recording = RecordingFiles(root)
    host = read_host(root, files=recording)
    entries = recording.entries()
    for unread in host.unread:
        if unread.reason == BLOCKED_REASON:
            entries[unread.path] = Denied(unread.path, BLOCKED)
    return host, sorted(_trimmed(_reachable(entries)), key=lambda entry: entry.path)


class RecordingFiles(Files):
    """Reads as ever, and keeps what was read."""

    def __init__(self, root: HostRoot) -> None:
        """Record reads below this root."""
        super().__init__(root)
        self._traces: list[Trace] = []

    def read(self, path: str) -> bytes:
        """Return a file's content and keep it."""
        content = self._watched(super().read, path)
        self._traces.append(("file", path, content))
        return content

    def link(self, path: str) -> str:
        """Return a link's target and keep it."""
        target = self._watched(super().link, path, errno.EINVAL)
        self._traces.append(("link", path, target))
        return target

    def names(self, path: str, keep: Callable[[str], bool] | None = None) -> list[str]:
        """Return what a folder contains and keep that these names are there."""
        names: list[str] = self._watched(lambda folder: super(RecordingFiles, self).names(folder, keep), path)
        self._traces.append(("folder", path, ""))
        self._traces.extend(("name", f"{path}/{name}", "") for name in names)
        return names

    def folder(self, path: str) -> CheckedFolder:
        """Open a device's folder whose reads are kept too."""
        return self._watched(lambda host_path: _RecordingFolder(self.root, host_path, self._traces), path)

    def drain(self) -> list[Trace]:
        """Hand over what was kept; a reading process sends it to its parent."""
        traces, self._traces[:] = list(self._traces), []
        return traces

    def absorb(self, traces: list[Trace]) -> None:
        """Keep what a reading process read."""
        self._traces.extend(traces)

    def entries(self) -> dict[str, Entry]:
        """Return what was kept, by path; a read says more than a mere name."""
        entries: dict[str, Entry] = {}
        for how, path, found in self._traces:
            if how != "name":
                entries[path] = _entry(how, path, found, entries.get(path))
        for how, path, _ in self._traces:
            if how == "name" and path not in entries:
                entry = self._placeholder(path)
                if entry is not None:
                    entries[path] = entry
        return entries

    def _watched(self, read: Callable[[str], T], path: str, other_kind: int = errno.EISDIR) -> T:
        try:
            return read(path)
        except OSError as error:
            _keep_refusal(self._traces, path, error, other_kind)
            raise

    def _placeholder(self, path: str) -> Entry | None:
        """Stand in for something whose presence was all that mattered; None when it has gone since."""
        local = self.root.local(path)
        try:
            mode = os.lstat(local).st_mode
            if stat.S_ISLNK(mode):
                return Link(path, os.readlink(local))
        except OSError:
            return None
        return Directory(path) if stat.S_ISDIR(mode) else File(path, b"")


class _RecordingFolder(CheckedFolder):
    """A device's folder whose reads are kept."""

    __slots__ = ("_traces",)

    def __init__(self, root: HostRoot, path: str, traces: list[Trace]) -> None:
        """Open a folder by its host path."""
        if path in root.denied:
            raise denied_error(root.denied[path], path)
        super().__init__(root.local(path), path, root.denied)
        self._traces = traces
        traces.append(("folder", path, ""))

    def has(self, name: str) -> bool:
        """Tell whether something is there, and keep that it is."""
        there = super().has(name)
        if there:
            self._traces.append(("name", f"{self._path}/{name}", ""))
        return there

    def read(self, name: str, size: int = 4096, offset: int = 0) -> bytes:
        """Return a file's bytes and keep them."""
        with self._watched(name):
            content = super().read(name, size, offset)
        self._traces.append((f"part {offset}", f"{self._path}/{name}", content))
        return content

    def link(self, name: str) -> str:
        """Return a link's target and keep it."""
        with self._watched(name, errno.EINVAL):
            target = super().link(name)
        path = f"{self._path}/{name}"
        self._traces.append(("link", path, target))
        if name == "driver":
            # lspci follows the link, and completion lists the drivers.
            self._traces.append(("folder", resolve(path, target), ""))
        return target

    def list(self, name: str) -> list[str]:
        """Return what a folder inside contains, keeping the names."""
        with self._watched(name):
            names = super().list(name)
        self._traces.append(("folder", f"{self._path}/{name}", ""))
        self._traces.extend(("folder", f"{self._path}/{name}/{inside}", "") for inside in names)
        return names

    def close(self) -> None:
        """Keep what other tools need, and let go of the folder."""
        for name in _FOR_OTHER_TOOLS:
            with suppress(OSError):
                self.read(name)
        super().close()

    @contextmanager
    def _watched(self, name: str, other_kind: int = errno.EISDIR) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _keep_refusal(self._traces, f"{self._path}/{name}", error, other_kind)
            raise


def _keep_refusal(traces: list[Trace], path: str, error: OSError, other_kind: int) -> None:
    """Keep that something is there and how it refused; what is not there leaves no trace.

    ``other_kind`` is the error of what was read as a file and is a folder, or as a link and is none: there
    it is enough to keep what it is.
    """
    if error.errno == other_kind:
        traces.append(("name", path, ""))
    elif error.errno == errno.ETIMEDOUT:
        traces.append(("denied", path, BLOCKED))
    elif error.errno not in _NOT_THERE:
        traces.append(("denied", path, errno.errorcode.get(error.errno or 0, "EIO")))


def _reachable(entries: Mapping[str, Entry]) -> Iterator[Entry]:
    """Yield all but what lies below something that could not be read, where it has no place to be."""
    refused = {path for path, entry in entries.items() if isinstance(entry, Denied)}
    for path, entry in entries.items():
        parent = path.rpartition("/")[0] if refused else ""
        while parent and parent not in refused:
            parent = parent.rpartition("/")[0]
        if not parent:
            yield entry


def _entry(how: str, path: str, found: str | bytes, before: Entry | None) -> Entry:
    match how.split(), found:
        case ["file"], bytes():
            return File(path, found)
        case ["part", offset], bytes():
            known = before.content if isinstance(before, File) else b""
            return File(path, _overlaid(known, int(offset), found))
        case ["link"], str():
            return Link(path, found)
        case ["denied"], str():
            # The configuration space is readable up to a point, and then refused or cut short (K31).
            return before if isinstance(before, File) else Denied(path, found)
        case _:
            return before or Directory(path)


def _overlaid(content: bytes, offset: int, part: bytes) -> bytes:
    """Put a part read at an offset into what was read before; gaps, which nobody reads, become zeros."""
    padded = content.ljust(offset, b"\0") if part else content
    return padded[:offset] + part + padded[offset + len(part) :]


def _trimmed(entries: Iterable[Entry]) -> list[Entry]:
    """Drop what the reader looks at but does not use: other programs' files, arguments, properties."""
    entries = list(entries)
    holders = {
        found[1]
        for entry in entries
        if isinstance(entry, Link)
        and (found := _OPEN_FILE.fullmatch(entry.path))
        and OPEN_NODE.fullmatch(entry.target)
    }
    refused = [entry for entry in entries if isinstance(entry, Denied) and _OPEN_FILES.fullmatch(entry.path)]
    kept: list[Entry] = [*refused[:1]]
    for entry in entries:
        process = _PROCESS.fullmatch(entry.path)
        if process is None or (process[1] in holders and not _is_other_file(entry)):
            kept.append(_without_surplus(entry))
    return kept


def _is_other_file(entry: Entry) -> bool:
    return isinstance(entry, Link) and not OPEN_NODE.fullmatch(entry.target)


def _without_surplus(entry: Entry) -> Entry:
    match entry:
        case File(path, content) if _COMMAND.fullmatch(path):
            return File(path, _command(content))
        case File(path, content) if path.startswith(f"{paths.UDEV_DATA}/"):
            lines = (line for line in content.split(b"\n") if line.startswith(_UDEV_KEYS))
            return File(path, b"".join(line + b"\n" for line in lines))
        case File(path, content) if path == paths.IO_MEMORY:
            return File(path, _framebuffer_lines(content))
        case Link(path, target) if target.startswith("/"):
            # An absolute target would lead out of the snapshot.
            return Link(path, "../" * (path.count("/") - 1) + target[1:])
        case _:
            return entry


def _framebuffer_lines(content: bytes) -> bytes:
    """Keep of the memory map what the console can be found by."""
    names = tuple(name.encode() for name in FIRMWARE_FRAMEBUFFERS)
    return b"".join(line + b"\n" for line in content.splitlines() if line.endswith(names))


def _command(content: bytes) -> bytes:
    """Keep of a command line the program and the VM's name: arguments may hold secrets."""
    arguments = content.decode("utf-8", "backslashreplace").split("\0")
    name = vm_name(arguments)
    kept = [arguments[0], *(["-name", f"guest={name}"] if name else [])]
    return "\0".join([*kept, ""]).encode()
