"""A USB device as ``<hostdev type='usb'>``."""

from __future__ import annotations

from vfioctl.libvirt.address import hex_number, number
from vfioctl.libvirt.info import append_info, info_features, read_info
from vfioctl.libvirt.text import append, element
from vfioctl.libvirt.values import UsbHostdev
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree


def build(device: UsbHostdev) -> etree._Element:
    """Make the element; managed is said as libvirt does, where it has no meaning (X1)."""
    made = element("hostdev", mode="subsystem", type="usb", managed="no")
    source = append(made, "source", startupPolicy=device.startup_policy, guestReset=device.guest_reset)
    if device.vendor_id is not None and device.product_id is not None:
        append(source, "vendor", id=hex_number(device.vendor_id, 4))
        append(source, "product", id=hex_number(device.product_id, 4))
    if device.bus is not None:
        append(source, "address", bus=device.bus, device=device.device, port=device.port)
    append_info(made, device.info)
    return made


def read(node: etree._Element) -> UsbHostdev | None:
    """Read the element; None where it names no device."""
    source = node.find("source")
    if source is None:
        return None
    vendor, product, address = source.find("vendor"), source.find("product"), source.find("address")
    if address is None and (vendor is None or product is None):
        return None
    return UsbHostdev(
        vendor_id=None if vendor is None else number(vendor.get("id")),
        product_id=None if product is None else number(product.get("id")),
        bus=None if address is None else number(address.get("bus")),
        device=None if address is None else number(address.get("device")),
        port=None if address is None else address.get("port"),
        startup_policy=source.get("startupPolicy"),
        guest_reset=source.get("guestReset"),
        info=read_info(node),
    )


def features(device: UsbHostdev) -> Iterator[str]:
    """Yield the features it uses."""
    yield "usb"
    if device.port is not None:
        yield "usb-port"
    if device.startup_policy is not None:
        yield "startup-policy"
    if device.guest_reset is not None:
        yield "guest-reset"
    yield from info_features(device.info, "usb")
