"""A recorded tree under construction: folders, files, links and what cannot be read."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Self

from vfioctl.sysfs.entries import Denied, Directory, Entry, File, Link, complete
from vfioctl.sysfs.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class Tree:
    """Entries by path; with a folder, every call is on disk at once.

    Calls return the tree, so that a machine is one expression. Facts given twice replace each other.
    """

    def __init__(self, base: Path | str | None = None) -> None:
        """Start with nothing, in this folder or in memory only."""
        self._base = None if base is None else os.fspath(base)
        self._entries: dict[str, Entry] = {}

    def folder(self, path: str) -> Self:
        """Add a folder."""
        return self._put(Directory(path))

    def file(self, path: str, content: str | bytes) -> Self:
        """Add a file."""
        return self._put(File(path, content.encode() if isinstance(content, str) else content))

    def link(self, path: str, target: str) -> Self:
        """Add a link to an absolute path, which it spells relatively."""
        return self._put(Link(path, os.path.relpath(target, os.path.dirname(path))))

    def deny(self, path: str, errno: str = "EACCES") -> Self:
        """Make a path unreadable for the user who looks; what is below it is gone."""
        return self.remove(path)._put(Denied(path, errno))

    def remove(self, path: str) -> Self:
        """Take a file, a link, or a folder with all it has away."""
        for known in [known for known in self._entries if known == path or known.startswith(f"{path}/")]:
            del self._entries[known]
        if self._base is not None:
            _erase(self._base + path)
        return self

    def entries(self) -> tuple[Entry, ...]:
        """Return the tree as entries, in order."""
        return complete(self._entries.values())

    def content(self, path: str) -> bytes:
        """Return what a file says."""
        entry = self._entries[path]
        if not isinstance(entry, File):
            raise TypeError(path)
        return entry.content

    def denied(self) -> dict[str, str]:
        """Return what the user who looks cannot read."""
        return {entry.path: entry.errno for entry in self._entries.values() if isinstance(entry, Denied)}

    def _target(self, link: str) -> str:
        entry = self._entries[link]
        if not isinstance(entry, Link):
            raise TypeError(link)
        return os.path.normpath(os.path.join(os.path.dirname(link), entry.target))

    def _names(self, folder: str) -> set[str]:
        return {path.rpartition("/")[2] for path in self._entries if path.rpartition("/")[0] == folder}

    def _put(self, entry: Entry) -> Self:
        self._entries[entry.path] = entry
        if self._base is not None:
            _write(self._base + entry.path, entry)
        return self


def _erase(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _write(path: str, entry: Entry) -> None:
    if isinstance(entry, Directory):
        os.makedirs(path, exist_ok=True)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    _erase(path)
    match entry:
        case File(content=content):
            with open(path, "wb") as file:
                file.write(content)
        case Link(target=target):
            os.symlink(target, path)
        case Denied():
            open(path, "wb").close()  # its name is seen; what reading it gives is in HostTree.denied


def read_entries(base: str, denied: Mapping[str, str] | None = None) -> tuple[Entry, ...]:
    """Return everything below a folder, the manifest left out, with what is known to be unreadable."""
    denied = denied or {}
    found = [entry for entry in _walk(base, "") if entry.path not in denied]
    return complete([*found, *(Denied(path, errno) for path, errno in denied.items())])


def _walk(base: str, folder: str) -> Iterable[Entry]:
    with os.scandir(base + (folder or "/")) as found:
        for item in found:
            path = f"{folder}/{item.name}"
            if item.is_symlink():
                yield Link(path, os.readlink(item.path))
            elif item.is_dir():
                yield Directory(path)
                yield from _walk(base, path)
            elif path != f"/{MANIFEST}":
                with open(item.path, "rb") as file:
                    yield File(path, file.read())
