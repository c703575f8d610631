"""Who drives a device, and what its override says: the state that bind and unbind move."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress


class Binding(NamedTuple):
    """A device's driver and its ``driver_override``; None where there is none."""

    driver: str | None
    override: str | None


class Move(NamedTuple):
    """A device on its way from one binding to another."""

    address: PciAddress
    before: Binding
    goal: Binding
    kernel_decides: bool = False
    """The kernel picks the driver (``drivers_probe``); the goal's driver is then None and not compared."""


class Record(NamedTuple):
    """Where a device came from, kept from ``bind`` until ``unbind`` within one boot."""

    address: PciAddress
    vendor_id: int
    device_id: int
    origin: Binding
