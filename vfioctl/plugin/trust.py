"""Which programs may be run as root on a release: only those that nobody but root can change or replace."""

from __future__ import annotations

import os
import stat

from vfioctl.errors import UsageError
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.remark import Remark
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.plugin.settings import Config

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_HINTS = {
    "program-missing": "install it before the plugin starts: a configuration with it is refused",
    "program-unknown": "ask as root",
    "program-not-executable": "make it executable: chmod 755",
    "program-owner": "whoever owns it could run anything as root: chown root",
    "program-writable": "whoever may write it could run anything as root: chmod go-w",
    "program-folder": "whoever may write there could replace the program: chown root, chmod go-w",
}


class Doubt(NamedTuple):
    """One reason why a program must not be run as root."""

    check: str
    """What ``plugin lint`` calls it."""
    text: str


def problem(path: str, owner: int = 0) -> str | None:
    """Say why a program must not be run as root, or return None."""
    return next((doubt.text for doubt in doubts(path, owner)), None)


def doubts(path: str, owner: int = 0) -> Iterator[Doubt]:
    """Yield every reason why a program must not be run as root.

    Whoever can write it, or put something else in its place, would be root.
    """
    if not path.startswith("/"):
        yield Doubt("program-relative", "its path is not absolute")
        return
    try:
        real = os.path.realpath(path, strict=True)
        status = os.stat(real)  # noqa: PTH116 - one call
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IXUSR:
            yield Doubt("program-not-executable", "it is no program")
        yield from _of_place(real, owner, "program-owner", "program-writable")
        for folder in _above(real):
            yield from _of_place(folder, owner, "program-folder", "program-folder")
    except (FileNotFoundError, NotADirectoryError) as error:
        yield Doubt("program-missing", (error.strerror or str(error)).lower())
    except OSError as error:
        yield Doubt("program-unknown", (error.strerror or str(error)).lower())


def _above(path: str) -> Iterator[str]:
    """Yield every folder above a file."""
    while path != "/":
        path = os.path.dirname(path)  # noqa: PTH120 - of a text
        yield path


def _of_place(path: str, owner: int, owned: str, writable: str) -> Iterator[Doubt]:
    status = os.stat(path)  # noqa: PTH116 - one call
    if status.st_uid not in {0, owner}:
        yield Doubt(owned, f"{path} is not root's")
    # In a sticky folder nobody can replace what is another's; to a file the bit means nothing.
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if status.st_mode & _OTHERS_WRITE and not sticky:
        yield Doubt(writable, f"{path} can be written by others than root")


def refuse_unsafe(config: Config) -> Config:
    """Return a configuration of which every program may be run.

    Raises:
        UsageError: one must not be run as root.

    """
    for resource in config.resources:
        for action in resource.on_release:
            if action.startswith("/") and (why := problem(action)):
                raise UsageError(
                    f"{config.file}: {resource.name}: on_release: {action} must not be run: {why}",
                    hint="it and every folder above it must be root's, and nobody else may write there",
                )
    return config


def distrusted(config: Config, owner: int = 0) -> Iterator[Remark]:
    """Yield a remark on each reason why a program of a configuration must not be run, for ``plugin lint``."""
    for resource in config.resources:
        for action in resource.on_release:
            if action.startswith("/"):
                for doubt in doubts(action, owner):
                    message = f"on_release: {action} must not be run: {doubt.text}"
                    yield Remark(doubt.check, resource.name, message, _HINTS[doubt.check])
