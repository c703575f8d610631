"""Read the USB devices of a host: ids, numbers and ports, from attributes that are read without a lock."""

from __future__ import annotations

import re

from vfioctl.model.usb import UsbDevice
from vfioctl.sysfs import root
from vfioctl.sysfs.classes import class_members
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.sysfs.attribute import Attributes
    from vfioctl.sysfs.classes import Member

# "1-2.5" is a device; "usb1" is a root hub, "1-2.5:1.0" an interface of a device. What a device calls itself
# (`product`, `manufacturer`) is left alone: those are read under the device's lock, and can block.
_DEVICE = re.compile(r"([0-9]{1,9})-([0-9]+(?:\.[0-9]+)*)")


def read_usb(attributes: Attributes) -> tuple[UsbDevice, ...] | None:
    """Return the USB devices by bus and port; None where this host does not say which there are.

    A kernel without USB, or a snapshot of a program that did not look at them, has no such folder.
    """
    if attributes.target(root.USB_DEVICES) is None:
        return None
    found = class_members(attributes, root.USB_DEVICES, lambda name: _DEVICE.fullmatch(name) is not None)
    return tuple(sorted(_devices(attributes, found), key=_place))


def _devices(attributes: Attributes, members: Iterator[Member]) -> Iterator[UsbDevice]:
    for name, path, function in members:
        place = _DEVICE.fullmatch(name)
        vendor = attributes.integer(f"{path}/idVendor", 16)
        product = attributes.integer(f"{path}/idProduct", 16)
        if place is None or vendor is None or product is None:
            continue
        yield UsbDevice(
            bus=int(place[1]),
            port=place[2],
            device=attributes.integer(f"{path}/devnum"),
            vendor_id=vendor,
            product_id=product,
            device_class=attributes.integer(f"{path}/bDeviceClass", 16),
            controller=function,
        )


def _place(device: UsbDevice) -> tuple[int, tuple[int, ...]]:
    return device.bus, tuple(int(part) for part in device.port.split("."))
