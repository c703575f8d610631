"""Reads that fail: why something is unknown, and how a snapshot keeps that."""

from __future__ import annotations

import errno
import os

BLOCKED = "EBLOCKED"
"""Stands in a snapshot for a read that never came back (K55)."""

BLOCKED_REASON = "reading it blocks: an unbind or a reset holds the device"

# The device went away, or the attribute exists without being supported: as good as not there.
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.EOPNOTSUPP})


def denied_error(name: str, path: str) -> OSError:
    """Make the error that a snapshot keeps by name: EACCES, EPERM or EBLOCKED."""
    number = errno.ETIMEDOUT if name == BLOCKED else getattr(errno, name, errno.EIO)
    return OSError(number, os.strerror(number), path)


def reason_of(error: OSError) -> str | None:
    """Say why something that exists could not be read; None when it is simply not there."""
    if error.errno in _MISSING:
        return None
    if error.errno == errno.ETIMEDOUT:
        return BLOCKED_REASON
    return (error.strerror or str(error)).lower()
