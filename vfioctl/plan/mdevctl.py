"""What mdevctl is told, so that it makes a mediated device at every boot."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress

FOLDER = "/etc/mdevctl.d"
"""Its definitions: a folder for each parent, a file for each UUID."""


class Definition(NamedTuple):
    """A mediated device that mdevctl is to start by itself as soon as its parent is there."""

    parent: PciAddress
    type_id: str
    uuid: str

    @property
    def path(self) -> str:
        """The file in which mdevctl keeps it."""
        return f"{FOLDER}/{self.parent}/{self.uuid}"

    @property
    def command(self) -> tuple[str, ...]:
        """What tells it to mdevctl."""
        return (
            *("mdevctl", "define", "--auto", "--uuid", self.uuid),
            *("--parent", str(self.parent), "--type", self.type_id),
        )

    @property
    def undo(self) -> tuple[str, ...]:
        """What has mdevctl forget it."""
        return ("mdevctl", "undefine", "--uuid", self.uuid)
