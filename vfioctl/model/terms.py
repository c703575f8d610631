"""The terms of a selector: one condition each, as values."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress

TERM_KEYS = ("class", "driver", "group", "numa", "slot", "under", "net", "block", "vfs-of", "mdev", "usb")
"""The words before the colon, for messages and completion."""


class AddressTerm(NamedTuple):
    """A function, a slot or a glob: None stands for ``*``."""

    domain: int | None
    bus: int | None
    device: int | None
    function: int | None

    def means(self, address: PciAddress) -> bool:
        """Tell whether it means the function at this address."""
        return all(want in {None, have} for want, have in zip(self, address, strict=True))


class IdsTerm(NamedTuple):
    """Vendor and device id, optionally the subsystem's: None stands for ``*``."""

    vendor: int
    device: int | None
    subsystem_vendor: int | None
    subsystem_device: int | None


class ClassTerm(NamedTuple):
    """A class by hexadecimal prefixes of its six-digit code."""

    prefixes: tuple[str, ...]


class DriverTerm(NamedTuple):
    """The driver that has the device now; None for none."""

    driver: str | None


class GroupTerm(NamedTuple):
    """An IOMMU group."""

    group: int


class NumaTerm(NamedTuple):
    """A NUMA node."""

    node: int


class SlotTerm(NamedTuple):
    """The label of a physical slot."""

    label: str


class UnderTerm(NamedTuple):
    """Everything behind a bridge or root port."""

    bridge: PciAddress


class NetTerm(NamedTuple):
    """The device behind a network interface."""

    interface: str


class BlockTerm(NamedTuple):
    """The device behind a disk."""

    disk: str


class VfsOfTerm(NamedTuple):
    """Virtual functions of a physical one, all (None) or by index."""

    owner: PciAddress | str
    indexes: frozenset[int] | None


class MdevTerm(NamedTuple):
    """A mediated device."""

    uuid: str


class UsbTerm(NamedTuple):
    """A USB device by id or by port path."""

    device: str


Term = (
    AddressTerm
    | IdsTerm
    | ClassTerm
    | DriverTerm
    | GroupTerm
    | NumaTerm
    | SlotTerm
    | UnderTerm
    | NetTerm
    | BlockTerm
    | VfsOfTerm
    | MdevTerm
    | UsbTerm
)
"""One condition of a selector.

Terms are tuples: two of different kinds can compare equal (``group:0`` and ``numa:0``), so tell them apart
by type, or compare whole selectors, which include the text.
"""
