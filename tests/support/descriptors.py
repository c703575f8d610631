"""What a process has open: to be compared before and after, so that nothing is left."""

from __future__ import annotations

import os
from contextlib import suppress


def open_files() -> set[tuple[str, str]]:
    """Return this process's descriptors with what they are of; anonymous ones come and go with gRPC.

    What an earlier test left to the garbage collector may go at any time: compare with ``<=``.
    """
    found = set()
    for name in os.listdir("/proc/self/fd"):
        # The listing's own is gone by now.
        with suppress(FileNotFoundError):
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
    return {(name, target) for name, target in found if not target.startswith("anon_inode:")}
