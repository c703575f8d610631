"""The one root error, its kinds, and the exit code each kind owns.

A message says what happened; a hint says what to type or do next. The command line turns every
kind into ``error: ...`` and ``hint: ...`` on stderr, and into an ``error`` document with ``--json``.
"""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import ClassVar


class VfioctlError(Exception):
    """Anything vfioctl reports on purpose; the base kind is the unexpected one."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "unexpected"
    meaning: ClassVar[str] = "unexpected error; for doctor: at least one check failed"

    def __init__(self, message: str, *, hint: str) -> None:
        """Keep what happened and what to do next."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(VfioctlError):
    """The request cannot be understood: bad option, ambiguous selector, bad file."""

    exit_code = 2
    code = "usage"
    meaning = "usage error, ambiguous selector, bad configuration file or unusable snapshot"


class NotFoundError(VfioctlError):
    """What was asked for does not exist on this host."""

    exit_code = 3
    code = "not-found"
    meaning = "no such device, group or resource"


class RefusedError(VfioctlError):
    """A safety check refused; nothing was changed."""

    exit_code = 4
    code = "refused"
    meaning = "refused by a safety check; nothing changed"


class HostCannotError(VfioctlError):
    """This host cannot do it; nothing was changed."""

    exit_code = 5
    code = "host-cannot"
    meaning = "this host cannot do it (no IOMMU, bridge, module missing ...); nothing changed"


class NotPermittedError(VfioctlError):
    """The user or the system forbids it."""

    exit_code = 6
    code = "not-permitted"
    meaning = "not permitted (not root, read-only sysfs, unreadable root, lockdown)"


class RolledBackError(VfioctlError):
    """It failed, and everything is as it was before."""

    exit_code = 7
    code = "rolled-back"
    meaning = "failed and rolled back; the state is as before"


class PartialError(VfioctlError):
    """It failed, and the state differs from before."""

    exit_code = 8
    code = "partial"
    meaning = "failed and the state differs, or an unbind is still blocked"


class LockedError(VfioctlError):
    """Another vfioctl is at work."""

    exit_code = 9
    code = "locked"
    meaning = "another vfioctl holds the lock"


class DriftError(VfioctlError):
    """What is stored does not match the hardware."""

    exit_code = 10
    code = "drift"
    meaning = "drift: what is stored does not match the hardware; for snapshot diff: the hosts differ"


EXIT_INTERRUPTED = 130
"""SIGINT: 128 + 2, as shells count."""

EXIT_BROKEN_PIPE = 141
"""SIGPIPE: 128 + 13, as shells count."""


def exit_codes() -> tuple[tuple[int, str], ...]:
    """Return every exit code with its meaning, in numeric order."""
    # A room may have a kind of its own; the codes are owned by those here, whatever is loaded.
    own = (kind for kind in VfioctlError.__subclasses__() if kind.__module__ == __name__)
    kinds: tuple[type[VfioctlError], ...] = (VfioctlError, *own)
    table = [(0, "done, or already so"), *((kind.exit_code, kind.meaning) for kind in kinds)]
    table += [(EXIT_INTERRUPTED, "interrupted"), (EXIT_BROKEN_PIPE, "the reader of a pipe went away")]
    return tuple(sorted(table))
