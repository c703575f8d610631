"""Every shape of a host device: to an element, and back from one; each is loaded when it is met."""

from __future__ import annotations

from vfioctl.libvirt import hostdev
from vfioctl.libvirt.text import lines
from vfioctl.libvirt.values import MdevHostdev, NvmeDisk, PciHostdev, UsbHostdev, VfInterface
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree

    from vfioctl.libvirt.values import Device


def build(device: Device) -> etree._Element:
    """Make the element of a device, for any version."""
    match device:
        case PciHostdev():
            return hostdev.build(device)
        case VfInterface():
            from vfioctl.libvirt import interface

            return interface.build(device)
        case MdevHostdev():
            from vfioctl.libvirt import mdev

            return mdev.build(device)
        case UsbHostdev():
            from vfioctl.libvirt import usb

            return usb.build(device)
        case NvmeDisk():
            from vfioctl.libvirt import nvme

            return nvme.build(device)


def features(device: Device) -> Iterator[str]:
    """Yield the names of the features that a device's element uses."""
    match device:
        case PciHostdev():
            yield from hostdev.features(device)
        case VfInterface():
            from vfioctl.libvirt import interface

            yield from interface.features(device)
        case MdevHostdev():
            from vfioctl.libvirt import mdev

            yield from mdev.features(device)
        case UsbHostdev():
            from vfioctl.libvirt import usb

            yield from usb.features(device)
        case NvmeDisk():
            from vfioctl.libvirt import nvme

            yield from nvme.features(device)


def read(node: etree._Element) -> Device | None:
    """Read an element; None for what is no device of the host, or names none."""
    from vfioctl.libvirt import interface, mdev, nvme, usb

    match node.tag, node.get("type"):
        case "hostdev", "pci":
            return hostdev.read(node)
        case "hostdev", "mdev":
            return mdev.read(node)
        case "hostdev", "usb":
            return usb.read(node)
        case "interface", "hostdev":
            return interface.read(node)
        case "disk", "nvme":
            return nvme.read(node)
        case _:
            return None


def text_of(device: Device) -> str:
    """Return a device's element as text, without a line break at its end."""
    return "\n".join(lines(build(device)))
