"""Record what a reader reads: every file, link and listing, and every refusal."""

from __future__ import annotations

import errno
import os
import stat

from vfioctl.lean import contextmanager, suppress
from vfioctl.sysfs.attribute import Files, resolve
from vfioctl.sysfs.denied import BLOCKED, denied_error
from vfioctl.sysfs.entries import Denied, Directory, Entry, File, Link
from vfioctl.sysfs.folder import CheckedFolder
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from vfioctl.sysfs.attribute import Trace
    from vfioctl.sysfs.root import HostRoot

    T = TypeVar("T")

# What lspci needs beside what this program reads.
_FOR_OTHER_TOOLS = ("vendor", "device", "class", "subsystem_vendor", "subsystem_device", "irq", "modalias")
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR})


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
