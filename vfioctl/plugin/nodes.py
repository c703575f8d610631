"""Which device nodes an item needs in a container."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.settings import Backend, BindMode, Kind
from vfioctl.sysfs.root import VFIO_GROUP_NODES
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.plugin.lots import Lot
    from vfioctl.plugin.settings import Resource

VFIO_CONTAINER = f"{VFIO_GROUP_NODES}/vfio"
"""What every user of group nodes opens first (K18); KubeVirt gives the group nodes to QEMU only beside it."""

IOMMUFD = "/dev/iommu"
USB_NODES = "/dev/bus/usb"


class Lacking(NamedTuple):
    """A node that an item needs and the kernel does not have."""

    what: str


def device_nodes(host: Host, lot: Lot) -> tuple[str, ...] | Lacking:
    """Return the nodes of an item, each once, the shared ones first; or which of them the kernel lacks."""
    found: dict[str, None] = {}
    for node in _nodes(host, lot):
        if isinstance(node, Lacking):
            return node
        found[node] = None
    return tuple(found)


def _nodes(host: Host, lot: Lot) -> Iterator[str | Lacking]:
    match lot.resource.kind:
        case Kind.PCI:
            yield from _shared(host, lot.resource)
            for device in lot.functions:
                yield from _own(device, lot.resource)
        case Kind.MDEV if lot.mdev is not None:
            yield VFIO_CONTAINER
            yield f"{VFIO_GROUP_NODES}/{lot.mdev.iommu_group}"
        case Kind.USB if lot.usb is not None:
            # Both numbers in decimal, three digits at least.
            yield f"{USB_NODES}/{lot.usb.bus:03d}/{lot.usb.device or 0:03d}"
        case _:
            yield from lot.nodes


def _shared(host: Host, resource: Resource) -> Iterator[str | Lacking]:
    if resource.backend is not Backend.IOMMUFD:
        yield VFIO_CONTAINER
    elif host.iommufd is False:
        yield Lacking(f"{IOMMUFD}: this kernel has no iommufd, or it is not loaded")
    else:
        yield IOMMUFD


def _own(device: PciDevice, resource: Resource) -> Iterator[str | Lacking]:
    if resource.bind is BindMode.ON_DEMAND and not device.on_vfio and device.iommu_group is not None:
        # The group's node comes with the driver, under a name that is known before.
        yield f"{VFIO_GROUP_NODES}/{device.iommu_group}"
        return
    if resource.backend is Backend.IOMMUFD:
        yield device.vfio_cdev or Lacking(f"{device.address} has no node of its own below /dev/vfio/devices")
        return
    yield device.vfio_group_node or Lacking(f"the IOMMU group of {device.address} has no node")
    if resource.backend is Backend.AUTO and device.vfio_cdev is not None:
        yield device.vfio_cdev
