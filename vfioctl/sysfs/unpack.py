"""Unpacking a stranger's recorded host into a private folder, or refusing it.

Sizes are counted as bytes arrive and never taken from a header. Links are made last, so nothing is
ever written through one; owners, modes and times of the archive are ignored.
"""

from __future__ import annotations

import os

from vfioctl.sysfs.entries import (
    MAX_ENTRIES,
    MAX_FILE,
    MAX_TOTAL,
    Directory,
    EntryError,
    File,
    Intake,
    Link,
)
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterable
    from typing import IO, Protocol

    from vfioctl.sysfs.entries import Entry

    class ByteSource(Protocol):
        """Where unpacked bytes come from: a file, or a decompressor over one."""

        def read(self, size: int, /) -> bytes:
            """Return up to so many bytes; empty at the end."""


MAX_HEADER = 256 << 10
"""Bytes that may stand between two members: long names and extended headers."""

_CHUNK = 1 << 20
_RECORD = 10240  # what a tar stream reads ahead
_BLOCK = 512
_TYPE, _SIZE = 156, slice(124, 136)
_ABOUT_THE_NEXT = frozenset({b"x", b"g", b"L", b"K"})  # extended headers and long names
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class TreeWriter:
    """Writes checked entries below a private folder; raises EntryError for what it refuses."""

    def __init__(self, base: str) -> None:
        """Write below this folder, which must be empty and nobody else's."""
        self._base = base
        self._intake = Intake()
        self._folders = {""}
        self._links: list[tuple[str, str]] = []

    def write(self, entries: Iterable[Entry]) -> None:
        """Write all entries; what could not be read gets an empty file, so that its name is still listed."""
        for entry in entries:
            match entry:
                case Directory(path):
                    self.directory(path)
                case File(path, content):
                    self._intake.file(path)
                    self._intake.content(path, len(content))
                    self._put(path, content)
                case Link(path, target):
                    self.link(path, target)
                case _:
                    self._intake.denied(entry.path)
                    self._put(entry.path, b"")

    def directory(self, path: str) -> None:
        """Make a folder and its parents."""
        self._intake.directory(path)
        self._make(path)

    def stream(self, path: str, source: ByteSource) -> None:
        """Write a file from a stream, as long as it stays within the bounds."""
        self._intake.file(path)
        size, chunks = 0, []
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > MAX_FILE:
                break
            chunks.append(chunk)
        self._intake.content(path, size)
        self._put(path, b"".join(chunks))

    def copy(self, path: str, original: str) -> None:
        """Write a hard link as the copy it stands for; the original must be a file seen before."""
        if not self._intake.is_file(original):
            raise EntryError(f"{path!r} is a hard link to {original!r}, which is no earlier file of the tree")
        with open(self._base + original, "rb") as source:
            self.stream(path, source)

    def link(self, path: str, target: str) -> None:
        """Remember a link; `finish` makes it."""
        self._intake.link(path, target)
        self._links.append((path, target))

    def finish(self) -> None:
        """Make the links."""
        for path, target in self._links:
            self._make(path.rpartition("/")[0])
            os.symlink(target, self._base + path)

    def _make(self, path: str) -> None:
        if path not in self._folders:
            self._make(path.rpartition("/")[0])
            os.mkdir(self._base + path, 0o700)
            self._folders.add(path)

    def _put(self, path: str, content: bytes) -> None:
        self._make(path.rpartition("/")[0])
        descriptor = os.open(self._base + path, _NEW_FILE, 0o600)
        try:
            # One write can be short only on a full disk, and then the next one says so.
            while content:
                content = content[os.write(descriptor, content) :]
        finally:
            os.close(descriptor)


class _Meter:
    """A byte source that gives no more than what was allowed since the last member."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._left = 0

    def allow(self, size: int) -> None:
        self._left = size + 2 * _RECORD

    def read(self, size: int = _RECORD) -> bytes:
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise EntryError(
                f"a header of more than {MAX_HEADER >> 10} KiB, or a member larger than announced or than "
                f"{MAX_FILE >> 20} MiB"
            )
        return data


def count_members(source: ByteSource) -> None:
    """Raise EntryError if a tar stream has too many members or bytes, before the first file is made.

    Making files is what takes time. Unpacking counts again and checks the rest; this only comes first.
    """
    members = headers = size = 0
    while len(header := source.read(_BLOCK)) == _BLOCK and any(header):
        headers += 1
        members += header[_TYPE : _TYPE + 1] not in _ABOUT_THE_NEXT
        if members > MAX_ENTRIES or headers > 4 * MAX_ENTRIES:
            raise EntryError(f"more than {MAX_ENTRIES:,} entries")
        digits = header[_SIZE].strip(b" \0") or b"0"
        # A size in another notation, or a damaged one, is for unpacking to judge.
        if digits.strip(b"01234567"):
            return
        size += int(digits, 8)
        if size > MAX_TOTAL:
            raise EntryError(f"more than {MAX_TOTAL >> 20} MiB when unpacked")
        _skip(source, -(-int(digits, 8) // _BLOCK) * _BLOCK)


def _skip(source: ByteSource, size: int) -> None:
    while size > 0 and (data := source.read(min(size, _CHUNK))):
        size -= len(data)


def unpack_tar(source: ByteSource, writer: TreeWriter) -> None:
    """Unpack a tar stream; raises EntryError for anything that is not a plain recorded tree."""
    import tarfile

    class StrictInfo(tarfile.TarInfo):
        """A member header that must be sound: the library takes a broken one for the end."""

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> StrictInfo:
            try:
                return super().frombuf(buf, encoding, errors)
            except tarfile.HeaderError:
                if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                    raise  # a block of zeros is the end as it should be
                raise EntryError("truncated or corrupt: a member's header cannot be read") from None

    meter = _Meter(source)
    meter.allow(MAX_HEADER)
    try:
        # The stream's interface is wider than what reading from front to back needs.
        stream: IO[bytes] = meter  # type: ignore[assignment]
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=StrictInfo, encoding="utf-8") as archive:
            while (member := archive.next()) is not None:
                meter.allow(MAX_FILE)
                _take(archive, member, writer)
                # The library keeps every member it has seen, which a listing needs and this does not.
                archive.members = []  # type: ignore[attr-defined]
                meter.allow(MAX_HEADER)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        if isinstance(error, EntryError):
            raise
        raise EntryError(f"truncated or corrupt: {error}") from None
    writer.finish()


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, writer: TreeWriter) -> None:
    path = _member_path(member.name)
    if member.isdir():
        if path:
            writer.directory(path)
    elif member.isreg():
        content = archive.extractfile(member)
        if content is not None:
            writer.stream(path, content)
    elif member.islnk():
        writer.copy(path, _member_path(member.linkname))
    elif member.issym():
        writer.link(path, member.linkname)
    else:
        kind = {b"3": "a character device", b"4": "a block device", b"6": "a fifo"}.get(
            member.type, "of an odd kind"
        )
        raise EntryError(f"{member.name!r} is {kind}; a recorded host has files, folders and links only")


def _member_path(name: str) -> str:
    """Return the path on the host that a member stands for; "" is the tree's top."""
    if name.startswith("/"):
        raise EntryError(f"{name!r} is an absolute path")
    while name.startswith("./"):
        name = name[2:]
    return "" if name in {"", "."} else f"/{name}"
