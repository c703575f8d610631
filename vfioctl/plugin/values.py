"""What a resource offers, and what an allocation hands to a container: plain values, without gRPC."""

from __future__ import annotations

from functools import cached_property

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress


class Item(NamedTuple):
    """One allocatable item of a resource."""

    id: str
    """What the kubelet calls it: an address, a UUID, a USB port or ``name#n``; never a group number (K22)."""
    resource: str
    members: tuple[PciAddress, ...]
    """The PCI functions that go with it, in address order: one, a slot's or a group's; an mdev's parent."""
    numa_nodes: tuple[int, ...]
    """The known nodes of its members; a -1 of the kernel is none."""
    group: int | None
    """The IOMMU group of its lowest member, or of the mediated device itself; None where there is none."""
    reason: str | None
    """None: healthy; else why not, a word of `vfioctl.plugin.health.REASONS`."""
    groups: tuple[int, ...] = ()
    """Every IOMMU group that somebody needs who has it: a slot's functions may be in several."""


class _Offer(NamedTuple):
    resource: str
    items: tuple[Item, ...]


class Offer(_Offer):
    """Everything that one resource offers now, in the order of ids."""

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of every item in the list, by its id."""
        return {item.id: place for place, item in enumerate(self.items)}


class Node(NamedTuple):
    """A device node that the container gets."""

    host_path: str
    container_path: str
    permissions: str
    """A subset of ``mrw``, as in the device cgroup."""


class Mount(NamedTuple):
    """A file or folder that the container gets."""

    host_path: str
    container_path: str
    read_only: bool = True


class Grant(NamedTuple):
    """The answer to an allocation."""

    envs: tuple[tuple[str, str], ...] = ()
    nodes: tuple[Node, ...] = ()
    mounts: tuple[Mount, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    cdi: tuple[str, ...] = ()
    """Fully qualified CDI names; then there are no nodes."""


class Denied(NamedTuple):
    """Why an allocation is refused: a gRPC status by name, and what the pod's status will say."""

    code: str
    """``NOT_FOUND``, ``FAILED_PRECONDITION`` or ``INVALID_ARGUMENT``."""
    message: str
