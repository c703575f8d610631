"""A fence around a target: what it is told to do to this machine fails as it would for a user without rights.

An audit hook sees every call of the interpreter to the system, however the program spells it. Hooks cannot be
taken away, so this one looks whether a target runs now.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ON_PATHS = frozenset(
    f"os.{name}"
    for name in (
        "mkdir",
        "remove",
        "rmdir",
        "rename",
        "truncate",
        "chmod",
        "chown",
        "link",
        "utime",
        "setxattr",
    )
)
_NEVER = frozenset(
    {
        *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.kill", "os.killpg", "os.putenv"),
        *("socket.sendto", "pty.spawn", "signal.pthread_kill", "syslog.syslog"),
    }
)
_HARMLESS = ("/dev/null/", "/dev/full/")

DOORS: set[object] = set()
"""Addresses that a target serves at itself, and may connect to."""

_inside: list[str] = []


@contextmanager
def fenced(place: Path) -> Iterator[None]:
    """Let nothing be written outside a folder."""
    _inside.append(f"{os.path.realpath(place)}/")
    try:
        yield
    finally:
        _inside.pop()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _inside:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & _WRITING:
            _check(path, follow=True)
    elif event in _ON_PATHS:
        folder = arguments[1] if event in {"os.remove", "os.rmdir"} else arguments[-1]
        _check(arguments[0], folder=folder if isinstance(folder, int) else -1)
    elif event == "os.symlink":
        _check(arguments[1], folder=arguments[2])
    elif event in {"socket.bind", "socket.connect"}:
        if arguments[1] not in DOORS:
            _check(arguments[1])
    elif event in _NEVER:
        raise PermissionError(errno.EPERM, f"fenced: {event}")


def _check(path: object, *, follow: bool = False, folder: int = -1) -> None:
    """Refuse a place outside; a descriptor was let through when it was opened."""
    if isinstance(path, int):
        return
    if not isinstance(path, str | bytes | os.PathLike):
        raise PermissionError(errno.EPERM, "fenced")
    name = os.fsdecode(path)
    if folder >= 0:
        name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
    above, last = os.path.split(name.rstrip("/"))
    real = os.path.realpath(name) if follow else os.path.join(os.path.realpath(above), last)
    if not f"{real}/".startswith((_inside[-1], *_HARMLESS)):
        raise PermissionError(errno.EPERM, "fenced", name)


sys.addaudithook(_hook)
