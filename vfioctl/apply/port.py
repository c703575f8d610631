"""What the kernel is told and what it answers: the one way through which anything changes.

The executor speaks in commands on numbered lanes. One command at a time is under way on a lane, lanes do
not wait for each other, and a lane whose command does not come back can be left behind (K34).
"""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Write(NamedTuple):
    """Write a text to an attribute, in one piece."""

    path: str
    text: str


class ReadLink(NamedTuple):
    """Read the last part of a link's target; ENOENT where there is no link."""

    path: str


class ReadText(NamedTuple):
    """Read an attribute without the newline at its end."""

    path: str


class Look(NamedTuple):
    """See whether something is there: ENOENT if not."""

    path: str


class OpenToWrite(NamedTuple):
    """Open an attribute for writing and close it again, which does nothing but tell whether one may."""

    path: str


class Modprobe(NamedTuple):
    """Load a module and what it needs; the text is what modprobe said where it failed."""

    module: str


class AwaitNodes(NamedTuple):
    """Wait until the nodes of a group and its functions stand and udev is done with them (K59).

    The text of the answer is their paths, one in a line; ENOENT when a node did not come.
    """

    group: int
    members: tuple[str, ...]
    patience: float
    """Seconds."""


class Settle(NamedTuple):
    """Wait until udev has dealt with all that the kernel has told it: ETIMEDOUT if it has not in time."""

    patience: float
    """Seconds."""


class ReadOwner(NamedTuple):
    """Read a node's owner, group and mode: ``0 0 0600``."""

    path: str


class SetOwner(NamedTuple):
    """Give a node an owner, a group and a mode; None leaves as it is."""

    path: str
    uid: int | None
    gid: int | None
    mode: int | None


class Batch(NamedTuple):
    """Several commands in a row, whatever each comes to: one way there and back for all of them."""

    commands: tuple[Single, ...]


Single = (
    Write | ReadLink | ReadText | Look | OpenToWrite | Modprobe | AwaitNodes | Settle | ReadOwner | SetOwner
)
"""What is done in one go."""

Command = Single | Batch
"""Everything a port understands."""

EFFECTS = (Write, SetOwner)
"""Commands that change a device: those that must be known of when their sender is gone."""


class Answer(NamedTuple):
    """What came back: the kernel's errno, or None and a text."""

    errno: int | None = None
    text: str = ""
    parts: tuple[Answer, ...] = ()
    """Of a batch, the answer to each of its commands; none where it did not come back whole."""


class Port(Protocol):
    """Carries commands out; the real one is :class:`vfioctl.apply.crew.Crew`."""

    def now(self) -> float:
        """Return the time in seconds, by a clock that only goes forward."""

    def start(self, lane: int, command: Command) -> None:
        """Start a command on a lane on which none is under way."""

    def wait(self, timeout: float | None) -> Sequence[tuple[int, Answer]]:
        """Return answers as soon as there are any, or none after so many seconds."""

    def starves(self, lane: int) -> bool:
        """Tell whether what is under way on a lane could go on, and waits for a processor."""

    def abandon(self, lane: int) -> None:
        """Leave what is under way on a lane to itself; the lane can be used again."""

    def close(self) -> None:
        """End what can be ended; what was left behind goes on alone."""
