"""Writing a recorded host: an archive, dump text or a folder, the same entries always as the same bytes."""

from __future__ import annotations

import os
from typing import cast

from vfioctl.errors import NotPermittedError, UsageError, VfioctlError
from vfioctl.sysfs.entries import Denied, Directory, EntryError, File, Link, check, complete
from vfioctl.sysfs.manifest import MANIFEST
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from tarfile import TarInfo
    from typing import IO, TypeAlias

    from vfioctl.sysfs.entries import Entry, Meta

    Form: TypeAlias = Callable[[Sequence[Entry], Meta, IO[bytes]], None]


def write_archive(entries: Iterable[Entry], path: str, meta: Meta) -> None:
    """Write a recorded host, in the form its suffix names, so that the same entries give the same bytes.

    ``.tar.gz``, ``.tgz``, ``.tar.zst`` and ``.tar`` are archives, ``.txt`` is dump text, no suffix or a
    slash at the end is a folder, which must not exist yet. The file appears whole or not at all, and only
    its owner can read it. Raises UsageError, NotPermittedError, or VfioctlError where the disk fails.
    """
    try:
        ordered = complete(entries)
        check(ordered)
        if (form := _form(path)) is None:
            _write_folder(ordered, path.rstrip("/"), meta)
        else:
            _write_file(ordered, path, meta, form)
    except EntryError as error:
        raise VfioctlError(f"this host cannot be recorded: {error}", hint="please report this") from None
    except PermissionError as error:
        raise NotPermittedError(
            f"{path}: {error.strerror}", hint="choose a folder you may write to"
        ) from None
    except FileNotFoundError:
        raise UsageError(f"{path}: no such folder", hint="make the folder first, or choose another") from None
    except OSError as error:
        raise VfioctlError(
            f"{path}: {error.strerror}", hint="choose another place; nothing was kept"
        ) from None


def _form(path: str) -> Form | None:
    """Return what writes the form that a path's suffix names; None for a folder."""
    forms: dict[str, Form] = {
        ".tar.gz": _write_gzip,
        ".tgz": _write_gzip,
        ".tar.zst": _write_zstd,
        ".tar": _write_tar,
        ".txt": _write_dump,
    }
    for suffix, form in forms.items():
        if path.endswith(suffix):
            return form
    if path.endswith("/") or "." not in os.path.basename(path):
        return None
    raise UsageError(
        f"{path}: no kind of snapshot has this suffix",
        hint=f"use {', '.join(forms)}, or a folder's name with a slash at the end",
    )


def _write_file(entries: Sequence[Entry], path: str, meta: Meta, form: Form) -> None:
    """Write beside the goal, readable by the owner alone, then put it in place in one step."""
    import tempfile

    if os.path.isdir(path):
        raise UsageError(f"{path}: is a folder", hint="choose another name")
    descriptor, draft = tempfile.mkstemp(prefix=".vfioctl-", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            form(entries, meta, file)
            file.flush()
            os.fsync(descriptor)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def _write_folder(entries: Sequence[Entry], path: str, meta: Meta) -> None:
    import shutil
    import tempfile

    from vfioctl.sysfs.unpack import TreeWriter

    if os.path.lexists(path):
        raise UsageError(f"{path}: exists already", hint="choose a new name; nothing was overwritten")
    draft = tempfile.mkdtemp(prefix=".vfioctl-", dir=os.path.dirname(path) or ".")
    try:
        writer = TreeWriter(draft)
        writer.write([_manifest(entries, meta), *entries])
        writer.finish()
        os.rename(draft, path)
    except BaseException:
        shutil.rmtree(draft)
        raise


def _manifest(entries: Iterable[Entry], meta: Meta) -> File:
    import json

    document = {
        "schema": 1,
        "kind": "snapshot",
        "denied": {entry.path: entry.errno for entry in entries if isinstance(entry, Denied)},
        "meta": meta._asdict(),
    }
    return File(f"/{MANIFEST}", (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())


def _write_dump(entries: Sequence[Entry], meta: Meta, out: IO[bytes]) -> None:
    from vfioctl.sysfs.dump import format_dump

    comments = [f"created by: {meta.created_by}", f"origin: {meta.origin}"]
    if meta.redacted:
        comments.append("redacted: serial numbers, MAC addresses and host names are replaced")
    out.write(format_dump(entries, comments).encode())


def _write_gzip(entries: Sequence[Entry], meta: Meta, out: IO[bytes]) -> None:
    import gzip

    with gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=6, mtime=0) as compressed:
        # A GzipFile is all that a tar stream writes to, though not all of what IO[bytes] promises.
        _write_tar(entries, meta, cast("IO[bytes]", compressed))


def _write_zstd(entries: Sequence[Entry], meta: Meta, out: IO[bytes]) -> None:
    from vfioctl.sysfs.formats import import_zstandard

    with import_zstandard().ZstdCompressor(level=9).stream_writer(out, closefd=False) as compressed:
        _write_tar(entries, meta, compressed)


def _write_tar(entries: Sequence[Entry], meta: Meta, out: IO[bytes]) -> None:
    import io
    import tarfile

    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for entry in [_manifest(entries, meta), *entries]:
            content = entry.content if isinstance(entry, File) else b""
            archive.addfile(_member(entry), io.BytesIO(content))
            archive.members = []  # type: ignore[attr-defined]  # kept for a listing that nobody asks for


def _member(entry: Entry) -> TarInfo:
    """Return the member's header: no owner, no time, one mode.

    What could not be read is an empty file here, so that its name is still listed; the manifest tells.
    """
    import tarfile

    member = tarfile.TarInfo(entry.path[1:])
    match entry:
        case Directory():
            member.type, member.mode = tarfile.DIRTYPE, 0o755
        case File(content=content):
            member.size, member.mode = len(content), 0o644
        case Link(target=target):
            member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
        case Denied():
            member.mode = 0o644
    return member
