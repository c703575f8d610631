"""A quick look for shell completion: a few reads per device and none that can block."""

from __future__ import annotations

import os

from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root as paths
from vfioctl.sysfs.attribute import Files
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.sysfs.root import HostRoot

_IDS = ("vendor", "device", "class")


class Glance(NamedTuple):
    """What a completion shows of a device."""

    address: str
    vendor_id: int
    device_id: int
    class_code: int


def glance(root: HostRoot) -> Iterator[Glance]:
    """Yield every device whose ids can be read, in address order."""
    files = Files(root)
    for name in _names(root, paths.PCI_DEVICES):
        folder = f"{paths.PCI_DEVICES}/{name}"
        try:
            ids = [int(files.read(f"{folder}/{attribute}"), 16) for attribute in _IDS]
        except (OSError, ValueError):
            continue
        yield Glance(name, *ids)


def glance_drivers(root: HostRoot) -> list[str]:
    """Return the names of the PCI drivers that are loaded."""
    return _names(root, paths.PCI_DRIVERS)


def glance_groups(root: HostRoot) -> list[int]:
    """Return the numbers of the IOMMU groups."""
    return sorted(int(name) for name in _names(root, paths.IOMMU_GROUPS) if name.isdecimal())


def glance_interfaces(root: HostRoot) -> list[str]:
    """Return the names of the network interfaces."""
    # Beside the interfaces, which are links, the folder holds the file bonding_masters.
    return [name for name in _names(root, paths.NET) if os.path.isdir(root.local(f"{paths.NET}/{name}"))]


def _names(root: HostRoot, path: str) -> list[str]:
    try:
        return sorted(os.listdir(root.local(path)), key=lambda name: (len(name), name))
    except OSError:
        return []
