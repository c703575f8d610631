"""The plugin's own sockets: new names that fit, and what earlier starts left behind."""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
import stat
from contextlib import suppress
from hashlib import blake2b

from vfioctl.errors import UsageError

LONGEST_PATH = 107
"""Bytes of a unix socket's path; grpc refuses the 108th, which the kernel keeps for the end."""

_PREFIX = "vfioctl-"
_SUFFIX = ".sock"
_OURS = re.compile(rf"{_PREFIX}(?:[\w.-]*-)?[0-9a-f]{{8}}-[0-9a-f]{{8}}{re.escape(_SUFFIX)}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")


def socket_name(folder: str, resource: str) -> str:
    """Return a new name for a resource's socket: never used before, and short enough for its folder.

    The resource can be recognised in it, as far as there is room. Every registration takes a new one: a
    kubelet refuses a path that is live (after 1.36.3), and a server that stops removes its path whoever has
    it by then.

    Raises:
        UsageError: the folder's path is so long that no name fits.

    """
    # Two resources may look alike when shortened.
    tail = f"{blake2b(resource.encode(), digest_size=4).hexdigest()}-{secrets.token_hex(4)}{_SUFFIX}"
    room = LONGEST_PATH - len(os.fsencode(folder)) - 1 - len(_PREFIX) - len(tail)
    if room < 0:
        raise UsageError(
            f"no socket fits into {folder}: a path of more than {LONGEST_PATH} bytes cannot be served",
            hint="give a shorter folder in the table [plugin]; a symbolic link will do",
        )
    slug = _UNSAFE.sub("-", resource)[: max(room - 1, 0)].strip("-")
    return f"{_PREFIX}{slug}-{tail}" if slug else f"{_PREFIX}{tail}"


def remove_stale(folder: str) -> tuple[str, ...]:
    """Remove sockets of earlier starts, and return their names: ours by name, and nobody listens any more."""
    removed = []
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - names are all that is wanted
            path = f"{folder}/{name}"
            if _OURS.fullmatch(name) and is_socket(path) and not answers(path):
                with suppress(OSError):
                    os.unlink(path)  # noqa: PTH108 - as above
                    removed.append(name)
    return tuple(removed)


def is_socket(path: str) -> bool:
    """Tell whether there is a socket at a path, links not followed."""
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def answers(path: str) -> bool:
    """Tell whether somebody listens on a socket; never waits.

    A kubelet leaves its socket behind when it stops, so that its being there says nothing.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            probe.connect(path)
        except OSError as error:
            # A full queue has somebody behind it; what may not be asked is left alone.
            return error.errno in {errno.EAGAIN, errno.EINPROGRESS, errno.EACCES, errno.EPERM}
        return True
