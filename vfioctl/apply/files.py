"""Files that are to outlast a reboot: all of them changed, or none.

They are other programs' to read: each is replaced as a whole, keeps its mode and owner where it had any, and
is on disk before the next one is touched.
"""

from __future__ import annotations

import os

from vfioctl.apply.lock import locked
from vfioctl.apply.state import complain, new_file
from vfioctl.lean import suppress
from vfioctl.model.persisted import FOLDER, MEDIATED, SPLITS, WANTED
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs.root import HostRoot
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vfioctl.apply.settings import Settings
    from vfioctl.plan.persist import FileChange

_FILE = 0o644
_FOLDER = 0o755
_PRIVATE = 0o600
_OWN = (FOLDER, SPLITS, MEDIATED, "/etc/vfioctl", WANTED.rpartition("/")[0])
"""What is removed when it is empty; the other folders are the distribution's."""


def change_files(
    plan_now: Callable[[], tuple[FileChange, ...]], settings: Settings, root: HostRoot | None = None
) -> tuple[FileChange, ...]:
    """Say under the lock what is to change, and change it; returns what was changed.

    Raises:
        LockedError: another vfioctl was at work for longer than the lock timeout.
        NotPermittedError: this user may not, or the place is read-only; nothing was changed.
        VfioctlError: a file cannot be written, such as on a full disk; nothing was changed.

    """
    with locked(settings.state, settings.lock_timeout):
        changes = plan_now()
        _Files(root or HostRoot()).change(changes)
        return changes


class _Before(NamedTuple):
    path: str
    content: bytes | None
    mode: int
    uid: int | None
    gid: int | None


class _Files:
    """Files below a root, with what they were before."""

    def __init__(self, root: HostRoot) -> None:
        self._root = root
        self._before: list[_Before] = []

    def change(self, changes: Sequence[FileChange]) -> None:
        for change in changes:
            path = self._root.local(change.path)
            try:
                self._replace(path, None if change.text is None else change.text.encode())
            except OSError as error:
                self._undo()
                complain("write" if change.text is not None else "remove", path, error)
        self._tidy()

    def _replace(self, path: str, content: bytes | None) -> None:
        before = _look(path)
        if content == before.content:
            return
        _make_folder(os.path.dirname(path))
        self._before.append(before)
        _put(before._replace(content=content))

    def _undo(self) -> None:
        for before in reversed(self._before):
            with suppress(OSError):
                _put(before)
        self._tidy()

    def _tidy(self) -> None:
        for folder in _OWN:
            with suppress(OSError):
                os.rmdir(self._root.local(folder))


def _make_folder(path: str) -> None:
    """Make a folder and those above it, each with the mode that the others have, whatever the umask."""
    if os.path.isdir(path):
        return
    _make_folder(os.path.dirname(path))
    os.mkdir(path, 0o700)
    os.chmod(path, _FOLDER)


def _look(path: str) -> _Before:
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            return _Before(path, file.read(), found.st_mode & 0o7777, found.st_uid, found.st_gid)
    except (FileNotFoundError, NotADirectoryError):
        return _Before(path, None, _FILE, None, None)


def _put(wanted: _Before) -> None:
    """Make a file what it is to be, synced; after a crash it is what it was or what it is to be."""
    path = os.path.realpath(wanted.path)
    if wanted.content is None:
        with suppress(FileNotFoundError):
            os.unlink(path)
    else:
        # udev and systemd read no file of this ending.
        draft = f"{path}.new"
        try:
            _write(draft, wanted, wanted.content)
            os.rename(draft, path)
        except OSError:
            with suppress(OSError):
                os.unlink(draft)
            raise
    _sync(os.path.dirname(path))


def _write(draft: str, wanted: _Before, content: bytes) -> None:
    # Nobody reads it before it is whole.
    descriptor = new_file(draft, _PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if wanted.uid is not None and wanted.gid is not None:
            os.fchown(descriptor, wanted.uid, wanted.gid)
        # Whatever the umask: udev's and systemd's files are for everybody to read.
        os.fchmod(descriptor, wanted.mode)
        os.fsync(descriptor)


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
