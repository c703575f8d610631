"""How libvirt names a device of the host: ``virsh nodedev-list``, ``virsh nodedev-dumpxml``."""

from __future__ import annotations

import re

from vfioctl.libvirt.values import MdevHostdev, NvmeDisk, PciHostdev, UsbHostdev, VfInterface
from vfioctl.model.address import PciAddress
from vfioctl.model.usb import UsbDevice
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.libvirt.compose import Entry

_OTHER = re.compile("[^A-Za-z0-9]")


def pci_name(address: PciAddress) -> str:
    """Return ``pci_0000_65_00_0`` for ``0000:65:00.0``."""
    return f"pci_{_plain(str(address))}"


def usb_name(name: str) -> str:
    """Return ``usb_1_2_5`` for the device that sysfs calls ``1-2.5``."""
    return f"usb_{_plain(name)}"


def mdev_name(uuid: str, parent: PciAddress) -> str:
    """Return the name of a mediated device: its UUID and its parent's address."""
    return f"mdev_{_plain(uuid)}_{_plain(str(parent))}"


def nodedev_name(entry: Entry) -> str | None:
    """Return libvirt's name of an entry's device; None where it is not on this host."""
    match entry.device, entry.place:
        case (PciHostdev() | VfInterface() | NvmeDisk()) as device, _:
            return pci_name(device.source)
        case UsbHostdev(), UsbDevice() as usb:
            return usb_name(usb.name)
        case MdevHostdev() as device, PciAddress() as parent:
            return mdev_name(device.uuid, parent)
        case _:
            return None


def _plain(text: str) -> str:
    return _OTHER.sub("_", text)
