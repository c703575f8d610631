"""What a journal tells of a run that did not end by itself."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.binding import Move
    from vfioctl.plan.steps import OwnNode, SetAutoprobe


class Unfinished(NamedTuple):
    """A run whose journal still stands."""

    command: str
    """``bind`` or ``unbind``."""
    boot_id: str
    """The boot it ran in: after another boot there is nothing to undo."""
    pid: int
    started: str
    """When, in UTC, as ISO 8601 writes it."""
    units: tuple[tuple[Move, ...], ...]
    """The moves of each unit, in the order of the plan."""
    nodes: tuple[OwnNode, ...] = ()
    stuck: bool = False
    """It ended with a write that was still blocked, not by a crash."""
    probing: tuple[SetAutoprobe, ...] = ()
    """What drivers do with new virtual functions, as it was before (K41)."""
