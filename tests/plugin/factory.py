"""Machines and configurations of the plugin's tests: a test names only what its rule is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.model.factory import make_device, make_host
from vfioctl.plugin.config import parse
from vfioctl.plugin.sight import Sight

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.usb import UsbDevice
    from vfioctl.plugin.config import Config
    from vfioctl.plugin.values import Item, Offer

GPU, AUDIO, NIC = "0000:01:00.0", "0000:01:00.1", "0000:02:00.0"


def given(address: str = GPU, group: int = 1, **fields: Any) -> PciDevice:  # noqa: ANN401 - the fields of a named tuple
    """Return a function on vfio-pci, with the node of its group."""
    settled = {"driver": "vfio-pci", "iommu_group": group, "vfio_group_node": f"/dev/vfio/{group}"}
    return make_device(address, **(settled | fields))


def card(bus: int, group: int, **fields: Any) -> tuple[PciDevice, PciDevice]:  # noqa: ANN401 - as above
    """Return a GPU and its audio function on vfio-pci, in one group."""
    address = f"0000:{bus:02x}:00"
    return (
        given(f"{address}.0", group, vendor_id=0x10DE, device_id=0x2204, class_code=0x030000, **fields),
        given(f"{address}.1", group, vendor_id=0x10DE, device_id=0x1AEF, class_code=0x040300, **fields),
    )


def machine(*devices: PciDevice, **fields: Any) -> Host:  # noqa: ANN401 - the fields of a named tuple
    """Return a host with these devices and iommufd."""
    return make_host(*devices, **({"iommufd": True} | fields))


def seeing(usb: tuple[UsbDevice, ...] | None = (), missing: Iterable[str] = ()) -> Sight:
    """Return a sight in which every node is there but those that are missing."""
    gone = frozenset(missing)
    return Sight(usb, lambda path: path not in gone)


def config(*tables: str) -> Config:
    """Return a configuration of resources, each given as lines of TOML; missing names are made up."""
    texts = []
    for number, table in enumerate(tables):
        name = "" if "name =" in table else f'name = "vfioctl.io/r{number}"\n'
        texts.append(f"[[resource]]\n{name}{table}\n")
    return parse("\n".join(texts))


def ids(offer: Offer) -> list[str]:
    """Return what an offer's items are called."""
    return [item.id for item in offer.items]


def the_item(offers: tuple[Offer, ...]) -> Item:
    """Return the only item of the only offer."""
    ((item,),) = [offer.items for offer in offers]
    return item
