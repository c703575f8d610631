"""The files of CDI specifications: read, replaced as a whole, removed."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress

from vfioctl.errors import NotPermittedError, VfioctlError
from vfioctl.export.cdi import CdiDevice, read_spec, spec_text
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE_NAME = "vfioctl.io-vfio.json"
"""Vendor and class, as the specification recommends."""

_LARGEST = 16 << 20


class Stored(NamedTuple):
    """A specification's file."""

    path: str
    devices: tuple[CdiDevice, ...] = ()
    problem: str | None = None
    """Why its devices are unknown."""


def read_stored(folder: str) -> Stored | None:
    """Read the specification in a folder; None where there is none."""
    path = os.path.join(folder, FILE_NAME)  # noqa: PTH118 - a name, no question to the system
    try:
        content = _content(path)
    except NotADirectoryError:
        return None
    except OSError as problem:
        return Stored(path, problem=f"it could not be read: {problem.strerror}")
    if content is None:
        return None
    if len(content) > _LARGEST:
        return Stored(path, problem=f"it is larger than {_LARGEST} bytes")
    try:
        return Stored(path, read_spec(content.decode()))
    except ValueError as problem:
        return Stored(path, problem=f"it could not be understood: {problem}")


def store(folder: str, devices: Sequence[CdiDevice]) -> bool:
    """Replace a folder's specification by one of these devices; tell whether that changed anything.

    Without devices there is no file: a specification must have one.

    Raises:
        NotPermittedError: the folder may not be written.
        VfioctlError: it cannot be written.

    """
    path = os.path.join(folder, FILE_NAME)  # noqa: PTH118 - a name, no question to the system
    try:
        if not devices:
            return _removed(path)
        content = spec_text(devices).encode()
        if _content(path) == content:
            return False
        if not os.path.isdir(folder):  # noqa: PTH112 - as above
            os.makedirs(folder, mode=0o755)  # noqa: PTH103 - as above
            # Runtimes of other users read it too, whatever the umask.
            os.chmod(folder, 0o755)  # noqa: PTH101, S103 - as above
        _replace(path, content)
    except PermissionError as problem:
        raise NotPermittedError(
            f"{path} may not be written: {problem.strerror}",
            hint="run it as root, or print it instead: vfioctl cdi generate --print",
        ) from problem
    except OSError as problem:
        raise VfioctlError(
            f"{path} could not be written: {problem.strerror}", hint=f"look at {folder}: is the disk full?"
        ) from problem
    return True


def _content(path: str) -> bytes | None:
    try:
        # What is no file, such as a FIFO, must not keep its reader waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return file.read(_LARGEST + 1)


def _removed(path: str) -> bool:
    try:
        os.unlink(path)  # noqa: PTH108 - as above
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _replace(path: str, content: bytes) -> None:
    """Put a new file in the place of another: a runtime reads the one or the other, never a half."""
    folder, name = os.path.split(path)
    # Runtimes read what ends with .json or .yaml; this does not.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".new", dir=folder)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            os.fchmod(file.fileno(), 0o644)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - as above
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108 - as above
        raise
