"""The state folder: private, and every file in it replaced as a whole."""

from __future__ import annotations

import errno
import os
import stat

from vfioctl.errors import NotPermittedError, VfioctlError
from vfioctl.lean import suppress
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def prepare(state: str) -> None:
    """Make the state folder where it is not there, and make sure that it is nobody else's.

    Whoever could put something into it could have root write through a link, or undo what was never done.

    Raises:
        NotPermittedError: this user may not, others may write there, or the place is read-only.
        VfioctlError: it cannot be made for another reason.

    """
    try:
        os.makedirs(state, _PRIVATE_FOLDER, exist_ok=True)
        found = os.lstat(state)
    except OSError as error:
        complain("make", state, error)
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid in {0, os.geteuid()}
    if not ours or found.st_mode & _OTHERS_WRITE:
        raise NotPermittedError(
            f"{state} is no folder that only its owner, root, may write to",
            hint=f"see what is in it, then: chown root {state}; chmod 755 {state}",
        )


def read_file(path: str) -> str | None:
    """Return a file's text; None where there is no such file.

    Raises:
        NotPermittedError: this user may not read it.
        VfioctlError: it cannot be read for another reason.

    """
    try:
        # Never through a link, and never waiting for the other end of what is no file.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
            _check_regular(descriptor)
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        complain("read", path, error)


def _check_regular(descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")


def replace_file(path: str, text: str) -> None:
    """Give a file a new content, synced; after a crash it has the old or the new one, whole.

    Raises:
        NotPermittedError: this user may not, or the place is read-only.
        VfioctlError: it cannot be written, such as on a full disk.

    """
    # One name is enough: only the holder of the lock writes.
    draft = f"{path}.new"
    try:
        descriptor = new_file(draft, _PRIVATE_FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.rename(draft, path)
        _sync_folder(path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(draft)
        complain("write", path, error)


def new_file(path: str, mode: int) -> int:
    """Open a file that is made now; what a crash or somebody else left at its name goes.

    Raises:
        OSError: the kernel's word; somebody put something there again is one.

    """
    try:
        return os.open(path, _NEW, mode)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, _NEW, mode)


def remove_file(path: str) -> None:
    """Remove a file, synced; it may be gone already.

    Raises:
        NotPermittedError: this user may not, or the place is read-only.
        VfioctlError: it cannot be removed for another reason.

    """
    try:
        with suppress(FileNotFoundError):
            os.unlink(path)
        _sync_folder(path)
    except OSError as error:
        complain("remove", path, error)


def _sync_folder(path: str) -> None:
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def complain(what: str, path: str, error: OSError) -> NoReturn:
    """Raise what a failed call on a state file means.

    Raises:
        NotPermittedError: this user may not, or the place is read-only.
        VfioctlError: anything else.

    """
    reason = error.strerror or str(error)
    if error.errno in _FORBIDDEN:
        raise NotPermittedError(f"cannot {what} {path}: {reason}", hint="run it as root") from error
    raise VfioctlError(
        f"cannot {what} {path}: {reason}", hint=f"look at {os.path.dirname(path)}: is there room on it?"
    ) from error
