"""Archives for the kernel's initramfs (the "newc" form of cpio), written without root or tools."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

BLOCK: Final = 512


class Entry(NamedTuple):
    """One file, folder or symbolic link of an archive; everything belongs to root."""

    name: str
    mode: int
    data: bytes = b""
    source: Path | None = None


def file_entry(name: str, data: bytes, permissions: int = 0o644) -> Entry:
    """Give an entry for a regular file with this content."""
    return Entry(name, stat.S_IFREG | permissions, data)


def folder_entry(name: str) -> Entry:
    """Give an entry for a folder."""
    return Entry(name, stat.S_IFDIR | 0o755)


def tree_entries(folder: Path, prefix: str = "") -> Iterator[Entry]:
    """Give entries for all that is below a folder, named below the prefix, folders before their content."""
    if prefix:
        parts = prefix.split("/")
        yield from (folder_entry("/".join(parts[: end + 1])) for end in range(len(parts)))
    for current, folders, files in os.walk(folder):
        folders.sort()
        base = os.path.relpath(current, folder)
        inner = os.path.normpath(os.path.join(prefix, base))
        for name in sorted([*folders, *files]):
            path = folder / base / name
            mode = path.lstat().st_mode
            archived = name if inner == "." else f"{inner}/{name}"
            if stat.S_ISLNK(mode):
                yield Entry(archived, stat.S_IFLNK | 0o777, os.fsencode(os.readlink(path)))
            elif stat.S_ISDIR(mode):
                yield folder_entry(archived)
            elif stat.S_ISREG(mode):
                yield Entry(archived, stat.S_IFREG | (mode & 0o755), source=path)


def write_archive(stream: BinaryIO, entries: Iterable[Entry]) -> None:
    """Write one complete archive; several may follow each other in one initramfs."""
    size = 0
    for inode, entry in enumerate(entries, start=1):
        size += _write_entry(stream, entry, inode)
    size += _write_entry(stream, Entry("TRAILER!!!", 0), 0)
    stream.write(b"\0" * (-size % BLOCK))


def _write_entry(stream: BinaryIO, entry: Entry, inode: int) -> int:
    data = entry.source.read_bytes() if entry.source else entry.data
    name = os.fsencode(entry.name) + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    head += b"\0" * (-len(head) % 4)
    tail = b"\0" * (-len(data) % 4)
    stream.write(head)
    stream.write(data)
    stream.write(tail)
    return len(head) + len(data) + len(tail)
