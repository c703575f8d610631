"""A file replaced as a whole or not at all, with its mode, owner and labels."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress

from vfioctl.errors import NotPermittedError, VfioctlError
from vfioctl.libvirt.source import read_source


def replace_file(path: str, before: bytes, content: bytes) -> None:
    """Replace a file's content; a link stays a link, and what it points to is replaced.

    Raises:
        NotPermittedError: its folder may not be written, or its owner not be kept; nothing is changed.
        VfioctlError: it changed since it was read, or cannot be written; nothing is changed.

    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    except OSError as problem:
        raise _not_written(path, problem) from problem
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            _keep_attributes(target, file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _check_unchanged(path, before)
        os.replace(temporary, target)  # noqa: PTH105 - as above
    except BaseException as problem:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108 - as above
        if isinstance(problem, OSError):
            raise _not_written(path, problem) from problem
        raise
    _sync_folder(folder)


def _check_unchanged(path: str, before: bytes) -> None:
    if read_source(path).content != before:
        raise VfioctlError(f"{path} changed while it was worked on", hint="run it again")


def _not_written(path: str, problem: OSError) -> VfioctlError:
    if isinstance(problem, PermissionError):
        return NotPermittedError(
            f"{path} may not be replaced: {problem.strerror}",
            hint="run it as the owner of the file or as root",
        )
    return VfioctlError(f"{path} could not be written: {problem.strerror}", hint="is the disk full?")


def _keep_attributes(path: str, descriptor: int) -> None:
    """Give an open file the owner, mode and extended attributes (labels, ACL) of another."""
    there = os.stat(path)  # noqa: PTH116 - as above
    made = os.fstat(descriptor)
    if (there.st_uid, there.st_gid) != (made.st_uid, made.st_gid):
        os.fchown(descriptor, there.st_uid, there.st_gid)
    # After the owner, whose change may clear bits of it.
    os.fchmod(descriptor, there.st_mode & 0o7777)
    with suppress(OSError):
        for name in os.listxattr(path):
            # A label may be set by a rule of its own; then the new file has it already.
            with suppress(OSError):
                os.setxattr(descriptor, name, os.getxattr(path, name))


def _sync_folder(folder: str) -> None:
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
