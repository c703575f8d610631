"""A PCI function as ``<hostdev type='pci'>``."""

from __future__ import annotations

from vfioctl.libvirt.address import append_source, read_source
from vfioctl.libvirt.info import append_info, info_features, read_info, switch
from vfioctl.libvirt.text import append, element, on_off, yes_no
from vfioctl.libvirt.values import PciHostdev
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree


def build(device: PciHostdev) -> etree._Element:
    """Make the element. The driver's name is left out: there is but VFIO (X3)."""
    made = element(
        "hostdev",
        mode="subsystem",
        type="pci",
        managed=yes_no(device.managed),
        display=on_off(device.display),
        ramfb=on_off(device.ramfb),
    )
    append_driver(made, device.driver_model, iommufd=device.iommufd)
    append_source(append(made, "source"), device.source)
    append_teaming(made, device.teaming)
    append_info(made, device.info)
    return made


def read(node: etree._Element) -> PciHostdev | None:
    """Read the element; None without the address of a function."""
    source = read_source(node.find("source/address"))
    if source is None:
        return None
    driver = node.find("driver")
    return PciHostdev(
        source=source,
        managed=switch(node.get("managed")),
        driver_model=None if driver is None else driver.get("model"),
        iommufd=None if driver is None else switch(driver.get("iommufd")),
        display=switch(node.get("display")),
        ramfb=switch(node.get("ramfb")),
        teaming=read_teaming(node),
        info=read_info(node),
    )


def features(device: PciHostdev) -> Iterator[str]:
    """Yield the features it uses."""
    yield "pci"
    yield from driver_features(device.driver_model, iommufd=device.iommufd)
    if device.display is not None or device.ramfb is not None:
        yield "pci-display"
    if device.teaming is not None:
        yield "hostdev-teaming"
    yield from info_features(device.info, "pci")


def append_driver(parent: etree._Element, model: str | None, *, iommufd: bool | None) -> None:
    """Append the host driver that was chosen, if any."""
    if model is not None or iommufd is not None:
        append(parent, "driver", model=model, iommufd=yes_no(iommufd))


def driver_features(model: str | None, *, iommufd: bool | None) -> Iterator[str]:
    """Yield the features that a choice of the host driver uses."""
    if model is not None:
        yield "driver-model"
    if iommufd is not None:
        yield "iommufd"


def append_teaming(parent: etree._Element, persistent: str | None) -> None:
    """Append that an interface of this alias stands in while the device is away, as in a migration."""
    if persistent is not None:
        append(parent, "teaming", type="transient", persistent=persistent)


def read_teaming(node: etree._Element) -> str | None:
    """Read the alias of the interface that stands in."""
    teaming = node.find("teaming")
    return None if teaming is None else teaming.get("persistent")
