"""Opening a recorded host as a root: a folder, an archive, or dump text, told apart by content.

What a file is made of is `vfioctl.sysfs.formats`, writing one `vfioctl.sysfs.pack`: a folder needs neither.
"""

from __future__ import annotations

import os
import stat

from vfioctl.errors import NotPermittedError, UsageError, VfioctlError
from vfioctl.lean import contextmanager
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs.manifest import read_manifest
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import IO

SAMPLE = "sample"
"""The word that names the sample host inside the package."""

HINT = "a root is a folder, a .tar.gz, .tar.zst or .tar snapshot, dump text, or the word 'sample'"
"""What is accepted."""

_CORRUPT_HINT = "copy or save the snapshot again; nothing of it was kept"


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
        raise UsageError(f"{source}: not a snapshot: no sys folder in it", hint=HINT)
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
    from vfioctl.sysfs.entries import EntryError
    from vfioctl.sysfs.formats import unpack_file
    from vfioctl.sysfs.unpack import TreeWriter

    try:
        denied = unpack_file(file, TreeWriter(folder), path)
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
        raise UsageError(f"{path}: no such file or folder", hint=HINT) from None
    except PermissionError as error:
        raise NotPermittedError(f"{path}: {error.strerror}", hint="run as its owner, or as root") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint=HINT) from None
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise UsageError(f"{path}: neither a folder nor a regular file", hint=HINT)
    return file
