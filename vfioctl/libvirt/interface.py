"""A virtual function as ``<interface type='hostdev'>``."""

from __future__ import annotations

from vfioctl.libvirt.address import append_source, number, read_source
from vfioctl.libvirt.hostdev import append_driver, append_teaming, driver_features, read_teaming
from vfioctl.libvirt.info import append_info, info_features, read_info, switch
from vfioctl.libvirt.text import append, element, yes_no
from vfioctl.libvirt.values import VfInterface
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree


def build(device: VfInterface) -> etree._Element:
    """Make the element. Without a MAC libvirt makes one when the domain is defined."""
    made = element(
        "interface",
        type="hostdev",
        managed=yes_no(device.managed),
        trustGuestRxFilters=yes_no(device.trust),
    )
    if device.mac is not None:
        append(made, "mac", address=device.mac)
    append_driver(made, device.driver_model, iommufd=device.iommufd)
    append_source(append(made, "source"), device.source, "pci")
    if device.vlan is not None:
        append(append(made, "vlan"), "tag", id=device.vlan)
    append_teaming(made, device.teaming)
    append_info(made, device.info)
    return made


def read(node: etree._Element) -> VfInterface | None:
    """Read the element; None without the address of a function."""
    address = node.find("source/address")
    source = read_source(address)
    if address is None or source is None or address.get("type", "pci") != "pci":
        return None
    driver, mac, tag = node.find("driver"), node.find("mac"), node.find("vlan/tag")
    return VfInterface(
        source=source,
        managed=switch(node.get("managed")),
        mac=None if mac is None else mac.get("address"),
        vlan=None if tag is None else number(tag.get("id")),
        trust=switch(node.get("trustGuestRxFilters")),
        driver_model=None if driver is None else driver.get("model"),
        iommufd=None if driver is None else switch(driver.get("iommufd")),
        teaming=read_teaming(node),
        info=read_info(node),
    )


def features(device: VfInterface) -> Iterator[str]:
    """Yield the features it uses."""
    yield "interface"
    yield from driver_features(device.driver_model, iommufd=device.iommufd)
    if device.vlan is not None:
        yield "vlan"
    if device.trust is not None:
        yield "trust"
    if device.teaming is not None:
        yield "interface-teaming"
    yield from info_features(device.info, "pci")
