"""IOMMU groups: the smallest set of devices that can be given away together."""

from __future__ import annotations

from vfioctl.lean import lru_cache
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress


class ReservedRegion(NamedTuple):
    """A range of I/O addresses that the group cannot use freely (K24)."""

    start: int
    end: int
    type: str
    """``direct``, ``direct-relaxable``, ``msi`` or ``reserved``."""


class OtherMember(NamedTuple):
    """A member that is not a PCI function, such as a platform device (K22)."""

    name: str
    driver: str | None


class IommuGroup(NamedTuple):
    """One group; its number is given at boot and is not stable (K22)."""

    id: int
    type: str | None
    members: tuple[PciAddress, ...]
    other_members: tuple[OtherMember, ...]
    reserved_regions: tuple[ReservedRegion, ...]

    @property
    def needs_identity_mapping(self) -> bool:
        """Whether the firmware demands a fixed mapping, which VFIO cannot give (RMRR, IVMD; K24)."""
        return _any_direct(self.reserved_regions)


# Most groups of a host reserve the same regions.
@lru_cache(maxsize=256)
def _any_direct(regions: tuple[ReservedRegion, ...]) -> bool:
    return any(region.type == "direct" for region in regions)
