"""A device's folder, held open: names inside are looked up without walking the whole path again."""

from __future__ import annotations

import os

from vfioctl.sysfs.denied import denied_error
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# A FIFO in place of a file must not keep its reader waiting.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC

# A host with thousands of devices comes here a hundred thousand times.
_access, _close, _open, _read = os.access, os.close, os.open, os.read


class OpenFolder:
    """A device's folder, held open: names inside it are looked up without walking the path again."""

    __slots__ = ("_descriptor",)

    def __init__(self, path: str) -> None:
        """Open a folder by its path on this machine."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._descriptor)

    def names(self) -> list[str]:
        """Return what it contains."""
        return os.listdir(self._descriptor)

    def has(self, name: str) -> bool:
        """Tell whether something is there; a tenth of the price of listing a device's folder."""
        # A link that leads out of a recording is there as well.
        return _access(name, 0, dir_fd=self._descriptor, follow_symlinks=False)

    def read(self, name: str, size: int = 4096, offset: int = 0) -> bytes:
        """Return a file's first bytes."""
        descriptor = _open(name, _READ, dir_fd=self._descriptor)
        try:
            return os.pread(descriptor, size, offset) if offset else _read(descriptor, size)
        finally:
            _close(descriptor)

    def link(self, name: str) -> str:
        """Return a link's target."""
        return os.readlink(name, dir_fd=self._descriptor)

    def list(self, name: str) -> list[str]:
        """Return what a folder inside contains."""
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._descriptor)
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)


class CheckedFolder(OpenFolder):
    """A folder of a snapshot that keeps what its recording user could not read."""

    __slots__ = ("_denied", "_path")

    def __init__(self, path: str, host_path: str, denied: Mapping[str, str]) -> None:
        """Open a folder by its path on this machine and on the host."""
        super().__init__(path)
        self._path = host_path
        self._denied = denied

    def has(self, name: str) -> bool:
        """Tell whether something is there, readable or not."""
        return f"{self._path}/{name}" in self._denied or super().has(name)

    def read(self, name: str, size: int = 4096, offset: int = 0) -> bytes:
        """Return a file's first bytes, or raise what the recording user was told."""
        self._check(name)
        return super().read(name, size, offset)

    def link(self, name: str) -> str:
        """Return a link's target, or raise what the recording user was told."""
        self._check(name)
        return super().link(name)

    def list(self, name: str) -> list[str]:
        """Return what a folder inside contains, or raise what the recording user was told."""
        self._check(name)
        return super().list(name)

    def _check(self, name: str) -> None:
        path = f"{self._path}/{name}"
        denied = self._denied.get(path)
        if denied is not None:
            raise denied_error(denied, path)
