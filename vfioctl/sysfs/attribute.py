"""One attribute: a typed value, or missing, or unreadable, or malformed.

:class:`Files` does the three things the reader needs (read, follow a link by one step, list) below a
root. :class:`Attributes` turns bytes into values and keeps, instead of raising, what could not be read.
"""

from __future__ import annotations

import errno
import os
from posixpath import normpath

from vfioctl.lean import lru_cache
from vfioctl.sysfs.denied import denied_error, reason_of
from vfioctl.sysfs.folder import CheckedFolder, OpenFolder
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.sysfs.root import HostRoot

# A snapshot may hold a FIFO where the kernel has a file: without O_NONBLOCK its open would wait for ever.
# For sysfs and procfs the flag has no meaning.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 65536
_PAGE = 4096
_MOST = 64 * 1024 * 1024

Trace = tuple[str, str, str | bytes]
"""One read for a recording: how, the host path, and what came back."""


class Files:
    """Reads below a root, by host path; raises OSError as the kernel says it."""

    def __init__(self, root: HostRoot) -> None:
        """Read below this root."""
        self.root = root
        self._prefix = root.prefix
        self._denied = root.denied

    @property
    def can_block(self) -> bool:
        """Whether a read may never come back: a folder's ends, however slow its disk is."""
        return self.root.live

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        if self._denied:
            self._check(path)
        descriptor = os.open(self._prefix + path, _READ)
        try:
            # A sysfs attribute is one page at most and comes whole. procfs gives short reads before the
            # end, so there only an empty one ends the file.
            whole = path.startswith("/sys/")
            content = os.read(descriptor, _PAGE if whole else _CHUNK)
            if not content or (whole and len(content) < _PAGE):
                return content
            parts, size = [content], len(content)
            while content and size < _MOST:
                content = os.read(descriptor, _CHUNK)
                parts.append(content)
                size += len(content)
            return b"".join(parts)
        finally:
            os.close(descriptor)

    def link(self, path: str) -> str:
        """Return a link's target as it is written."""
        if self._denied:
            self._check(path)
        return os.readlink(self._prefix + path)

    def names(self, path: str, keep: Callable[[str], bool] | None = None) -> list[str]:
        """Return what a folder contains, sorted; with ``keep``, only the names it accepts."""
        if self._denied:
            self._check(path)
        return sorted(filter(keep, os.listdir(self._prefix + path)))

    def folder(self, path: str) -> OpenFolder:
        """Open a folder to read several of its attributes."""
        if self._denied:
            self._check(path)
            return CheckedFolder(self._prefix + path, path, self._denied)
        return OpenFolder(self._prefix + path)

    def drain(self) -> list[Trace]:
        """Return what was read since the last call; only a recording keeps it."""
        return []

    def absorb(self, traces: list[Trace]) -> None:
        """Take over what a reading process read; only a recording keeps it."""

    def _check(self, path: str) -> None:
        name = self._denied.get(path)
        if name is not None:
            raise denied_error(name, path)


def printable(content: bytes) -> str:
    r"""Decode an attribute and drop the newline at its end; what is not UTF-8 becomes ``\\xNN``."""
    return content.decode("utf-8", "backslashreplace").strip("\n\0 ")


def resolve(path: str, target: str) -> str:
    """Return the host path a link points to; absolute targets stay below the root like all others."""
    folder = path[: path.rindex("/")]
    way, _, name = target.rpartition("/")
    if name in {"", ".", ".."} or target.startswith("/"):
        return normpath(target if target.startswith("/") else f"{folder}/{target}")
    return f"{_followed(folder, way)}/{name}"


# All links of a bus lead to few folders: what is on one bus is side by side in the device tree.
@lru_cache(maxsize=1024)
def _followed(folder: str, way: str) -> str:
    return normpath(f"{folder}/{way}").removesuffix("/")


class Attributes:
    """Typed reads that never raise; :attr:`unread` gathers what exists but stays unknown."""

    def __init__(self, files: Files) -> None:
        """Read through these files."""
        self.files = files
        self.unread: dict[str, str] = {}

    def text(self, path: str) -> str | None:
        """Return an attribute's text, or None."""
        try:
            return printable(self.files.read(path))
        except OSError as error:
            self.note(path, error)
            return None

    def integer(self, path: str, base: int = 10) -> int | None:
        """Return an attribute's number; anything else is noted as malformed."""
        text = self.text(path)
        if text is None:
            return None
        try:
            return int(text, base)
        except ValueError:
            self.unread[path] = f"malformed: {text[:40]!r} is no number"
            return None

    def lines(self, path: str) -> list[str]:
        """Return a file's lines; none when it cannot be read."""
        text = self.text(path)
        # Only this one ends a line: a mount point may hold what str.splitlines takes for an end.
        return text.split("\n") if text else []

    def names(self, path: str, keep: Callable[[str], bool] | None = None) -> list[str]:
        """Return what a folder contains, sorted; nothing when it cannot be read."""
        try:
            return self.files.names(path, keep)
        except OSError as error:
            self.note(path, error)
            return []

    def target(self, path: str) -> str | None:
        """Return the host path a link points to, or None."""
        try:
            return resolve(path, self.files.link(path))
        except OSError as error:
            # A folder where the kernel has a link: recordings that copied instead of linking.
            if error.errno == errno.EINVAL:
                return path
            self.note(path, error)
            return None

    def link_name(self, path: str) -> str | None:
        """Return the last part of a link's target, which names a driver, a group or a master."""
        target = self.target(path)
        return None if target is None else target.rsplit("/", 1)[-1]

    def note(self, path: str, error: OSError) -> None:
        """Keep why something is unknown, unless it is simply not there."""
        reason = reason_of(error)
        if reason is not None:
            self.unread[path] = reason
