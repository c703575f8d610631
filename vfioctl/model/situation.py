"""What stands around a request to change something, beside the host itself."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress
    from vfioctl.model.binding import Record


class SshSession(NamedTuple):
    """The ssh session that the command runs in, and the functions its packets go through."""

    peer: str
    """The address of the other end."""
    interface: str
    """The interface that has the session's local address."""
    carriers: tuple[PciAddress, ...]
    """Functions below that interface: through bonds, bridges and VLANs down to the cards."""


class ExclusiveDisk(NamedTuple):
    """A disk or partition that something has opened for itself alone, and no use of the host explains it."""

    address: PciAddress
    disk: str


class NodeMode(NamedTuple):
    """Owner and mode of a device node that exists."""

    path: str
    uid: int
    gid: int
    mode: int
    """The permission bits, such as 0o600."""


class Situation(NamedTuple):
    """What a plan must know beside the `Host`; read just before planning."""

    boot_id: str | None = None
    records: tuple[Record, ...] = ()
    """Where devices came from, as recorded during this boot."""
    sessions: tuple[SshSession, ...] = ()
    exclusive: tuple[ExclusiveDisk, ...] = ()
    nodes: tuple[NodeMode, ...] = ()
    """The nodes below ``/dev/vfio``."""
    unknown: tuple[str, ...] = ()
    """What could not be found out, each as a sentence: unknown is not fine."""
