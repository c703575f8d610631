"""What a recorded host is kept in, told apart by its first bytes: an archive, or dump text."""

from __future__ import annotations

from vfioctl.errors import UsageError
from vfioctl.sysfs.archive import HINT
from vfioctl.sysfs.dump import HEADER, MAX_DUMP, parse_dump
from vfioctl.sysfs.entries import Denied, EntryError
from vfioctl.sysfs.unpack import count_members, unpack_tar
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import IO

    from vfioctl.sysfs.unpack import ByteSource, TreeWriter

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_TAR_MAGIC = slice(257, 262)
_MAX_PADDING = 1 << 20


def unpack_file(file: IO[bytes], writer: TreeWriter, name: str) -> dict[str, str]:
    """Unpack by what the first bytes say, and return what the dump says could not be read."""
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
            raise UsageError(f"{name}: not a snapshot: neither an archive nor dump text", hint=HINT)
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
