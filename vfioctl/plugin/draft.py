"""A file under the name that it has until it is whole."""

from __future__ import annotations

import os

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def new_file(path: str) -> int:
    """Open a file that is made now, for root alone; what a crash or somebody else left at its name goes.

    Raises:
        OSError: the kernel's word.

    """
    try:
        return os.open(path, _NEW, 0o600)
    except FileExistsError:
        os.unlink(path)  # noqa: PTH108 - one call
        return os.open(path, _NEW, 0o600)
