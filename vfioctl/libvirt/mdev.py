"""A mediated device as ``<hostdev type='mdev'>``."""

from __future__ import annotations

from vfioctl.libvirt.info import append_info, info_features, read_info, switch
from vfioctl.libvirt.text import append, element, on_off
from vfioctl.libvirt.values import MDEV_APIS, MdevHostdev
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree


def build(device: MdevHostdev) -> etree._Element:
    """Make the element; the model is required, unlike for PCI (X4), and managed has no meaning (X1)."""
    made = element(
        "hostdev",
        mode="subsystem",
        type="mdev",
        managed="no",
        model=device.model,
        display=on_off(device.display),
        ramfb=on_off(device.ramfb),
    )
    append(append(made, "source"), "address", uuid=device.uuid)
    append_info(made, device.info)
    return made


def read(node: etree._Element) -> MdevHostdev | None:
    """Read the element; None without a UUID."""
    address = node.find("source/address")
    uuid = None if address is None else address.get("uuid")
    if uuid is None:
        return None
    return MdevHostdev(
        uuid=uuid.lower(),
        model=node.get("model", MDEV_APIS[0]),
        display=switch(node.get("display")),
        ramfb=switch(node.get("ramfb")),
        info=read_info(node),
    )


def features(device: MdevHostdev) -> Iterator[str]:
    """Yield the features it uses."""
    if device.model == MDEV_APIS[0]:
        yield "mdev"
    elif device.model in MDEV_APIS:  # No release has what libvirt does not know, which is said as X4.
        yield f"mdev-{device.model.removeprefix('vfio-')}"
    if device.display is not None:
        yield "mdev-display"
    if device.ramfb is not None:
        yield "mdev-ramfb"
    yield from info_features(device.info, "pci")
