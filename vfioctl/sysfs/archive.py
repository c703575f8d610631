"""Opening a recorded host as a root: a folder, an archive, or dump text, told apart by content.

Writing one is `vfioctl.sysfs.pack`.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager

from vfioctl.errors import NotPermittedError, UsageError, VfioctlError
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs.entries import Denied, EntryError
from vfioctl.sysfs.manifest import read_manifest
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from types import ModuleType
    from typing import IO

    from vfioctl.sysfs.unpack import ByteSource, TreeWriter

SAMPLE = "sample"
"""The word that names the sample host inside the package."""

_HINT = "a root is a folder, a .tar.gz, .tar.zst or .tar snapshot, dump text, or the word 'sample'"
_CORRUPT_HINT = "copy or save the snapshot again; nothing of it was kept"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_TAR_MAGIC = slice(257, 262)
_MAX_PADDING = 1 << 20


class OpenRoot(NamedTuple):
    """A root that can be read now: its folder, and which of the host's paths its recorder could not read."""

    base: str
    denied: Mapping[str, str]


@contextmanager
def open_root(path: str) -> Iterator[OpenRoot]:
    """Open a root for reading; what had to be unpacked is removed when the context ends.

    Raises UsageError for what is no recorded host or not a safe one, NotPermittedError for what this
    user cannot read.
    """
    if path == "/":
        yield OpenRoot(path, {})
    elif path != SAMPLE and os.path.isdir(path):
        yield _checked_root(path, path)
    else:
        with _open_regular(path) as file, _private_folder() as folder:
            yield _unpacked(path, file, folder)


def _checked_root(base: str, source: str) -> OpenRoot:
    sys_folder = os.path.join(base, "sys")
    if _can_use(base) and not os.path.isdir(sys_folder):
        raise UsageError(f"{source}: not a snapshot: no sys folder in it", hint=_HINT)
    if not _can_use(sys_folder):
        raise NotPermittedError(f"{source}: its sys folder cannot be read", hint="run as root, or copy it")
    return OpenRoot(base, read_manifest(base, source))


def _can_use(folder: str) -> bool:
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=True)


def _private_folder() -> AbstractContextManager[str]:
    import tempfile

    try:
        return tempfile.TemporaryDirectory(prefix="vfioctl-")
    except OSError as error:
        message = f"no temporary folder to unpack in: {error.strerror}"
        raise VfioctlError(message, hint="set TMPDIR to a folder with room") from None


def _unpacked(path: str, file: IO[bytes], folder: str) -> OpenRoot:
    from vfioctl.sysfs.unpack import TreeWriter

    try:
        denied = _unpack(file, TreeWriter(folder), path)
    except EntryError as error:
        raise UsageError(f"{path}: refused: {error}", hint=_CORRUPT_HINT) from None
    except OSError as error:
        hint = "unpacking needs room in the folder that TMPDIR names"
        raise VfioctlError(f"{path}: {error.strerror or error}", hint=hint) from None
    opened = _checked_root(folder, path)
    return OpenRoot(folder, {**opened.denied, **denied})


def _sample_path() -> str:
    return os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", "sample.txt")


def _open_regular(path: str) -> IO[bytes]:
    source = _sample_path() if path == SAMPLE else path
    try:
        # Without O_NONBLOCK opening a fifo would wait for its writer.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{path}: no such file or folder", hint=_HINT) from None
    except PermissionError as error:
        raise NotPermittedError(f"{path}: {error.strerror}", hint="run as its owner, or as root") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint=_HINT) from None
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise UsageError(f"{path}: neither a folder nor a regular file", hint=_HINT)
    return file


def _unpack(file: IO[bytes], writer: TreeWriter, name: str) -> dict[str, str]:
    """Unpack by what the first bytes say, and return what the dump says could not be read."""
    from vfioctl.sysfs.dump import HEADER
    from vfioctl.sysfs.unpack import count_members, unpack_tar

    head = file.read(512)
    if head.startswith(HEADER.rpartition(" ")[0].encode()):
        file.seek(0)
        return _unpack_dump(file, writer, name)

    def unpack(source: ByteSource) -> None:
        unpack_tar(source, writer)
        _drain(source)

    for step in (count_members, unpack):
        file.seek(0)
        if head.startswith(_GZIP):
            _through_gzip(file, step)
        elif head.startswith(_ZSTD):
            _through_zstd(file, step)
        elif head[_TAR_MAGIC] == b"ustar":
            step(file)
        else:
            raise UsageError(f"{name}: not a snapshot: neither an archive nor dump text", hint=_HINT)
    return {}


def _through_gzip(file: IO[bytes], step: Callable[[ByteSource], None]) -> None:
    import gzip
    import zlib

    try:
        with gzip.GzipFile(fileobj=file) as source:
            step(source)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EntryError(f"truncated or corrupt: {error}") from None


def _through_zstd(file: IO[bytes], step: Callable[[ByteSource], None]) -> None:
    zstandard = import_zstandard()
    try:
        with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as source:
            step(source)
    except zstandard.ZstdError as error:
        raise EntryError(f"truncated or corrupt: {error}") from None


def _drain(source: ByteSource) -> None:
    """Read the padding after a tar's end, so that the decompressor gets to compare its checksum."""
    if len(source.read(_MAX_PADDING)) == _MAX_PADDING:
        raise EntryError("more data after the archive's end")


def _unpack_dump(file: IO[bytes], writer: TreeWriter, name: str) -> dict[str, str]:
    from vfioctl.sysfs.dump import MAX_DUMP, parse_dump

    raw = file.read(MAX_DUMP + 1)
    if len(raw) > MAX_DUMP:
        raise EntryError(f"dump text of more than {MAX_DUMP >> 20} MiB")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise EntryError(f"dump text that is not UTF-8, at byte {error.start}") from None
    entries = parse_dump(text, name).entries
    writer.write(entries)
    writer.finish()
    return {entry.path: entry.errno for entry in entries if isinstance(entry, Denied)}


def import_zstandard() -> ModuleType:
    """Return the optional zstandard package; raises UsageError where it is not installed."""
    try:
        import zstandard
    except ImportError:
        raise UsageError(
            "a .tar.zst snapshot needs the Python package zstandard",
            hint="install zstandard beside vfioctl, or use .tar.gz",
        ) from None
    return zstandard
