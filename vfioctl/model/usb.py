"""USB devices, as far as giving one away needs: which it is, and where it is plugged in."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.model.address import PciAddress

HUB_CLASS = 0x09
"""bDeviceClass of a hub; it stays with the host, what is plugged into it can go."""


class UsbDevice(NamedTuple):
    """One USB device."""

    bus: int
    port: str
    """The way from the root hub, ``2.5``; stable as long as it is plugged in there. ``0`` is the root hub."""
    device: int | None
    """Its number on the bus, given anew at each plug; None if it could not be read."""
    vendor_id: int
    product_id: int
    device_class: int | None
    controller: PciAddress | None
    """The PCI function it hangs on."""

    @property
    def name(self) -> str:
        """Its name in sysfs, ``1-2.5``."""
        return f"{self.bus}-{self.port}"

    @property
    def ids(self) -> str:
        """Its ids, ``046d:c52b``."""
        return f"{self.vendor_id:04x}:{self.product_id:04x}"

    @property
    def is_hub(self) -> bool:
        """Whether others are plugged into it."""
        return self.device_class == HUB_CLASS


def matching(devices: Iterable[UsbDevice], wanted: str) -> tuple[UsbDevice, ...]:
    """Return the devices that have an id (``046d:c52b``) or sit at a port (``1-2.5``)."""
    return tuple(device for device in devices if wanted in {device.ids, device.name})
