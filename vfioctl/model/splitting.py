"""How a physical function stands as to SR-IOV, beside what every device has."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress


class Splitting(NamedTuple):
    """One physical function."""

    address: PciAddress
    autoprobe: bool | None
    """Whether drivers take its virtual functions as they are made (K41); None: not known."""
    vf_device_id: int | None
    """The device id that its virtual functions have."""


class Splittings(NamedTuple):
    """Every physical function, and what vfio-pci would do for one."""

    functions: tuple[Splitting, ...]
    vfio_splits: bool | None = None
    """Whether vfio-pci was loaded with ``enable_sriov`` (K39); None: not known, or not loaded."""

    def of(self, address: PciAddress) -> Splitting | None:
        """Return how one stands."""
        return next((one for one in self.functions if one.address == address), None)
