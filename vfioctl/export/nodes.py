"""Which device nodes a container needs for a device."""

from __future__ import annotations

from enum import StrEnum

from vfioctl.model.pattern import pattern
from vfioctl.sysfs.root import IOMMU_NODE, VFIO_CONTAINER_NODE, VFIO_GROUP_NODES
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeGuard

    from vfioctl.model.device import PciDevice

# What the kernel calls them; a recording of somebody else's could have names that mean more to a shell.
_NODE = pattern(r"/dev/vfio/(?:devices/vfio[0-9]+|(?:noiommu-)?[0-9]+)")

SHARED = frozenset({VFIO_CONTAINER_NODE})
"""Nodes that everybody may open (K27): they need no owner."""


class Backend(StrEnum):
    """Which of the kernel's two ways to a device a container gets; an open one excludes the other (K28)."""

    AUTO = "auto"
    """Both, where the kernel has both: the program inside chooses."""
    LEGACY = "legacy"
    """The group's node and the container node."""
    IOMMUFD = "iommufd"
    """The device's own node and ``/dev/iommu``."""


def nodes_now(device: PciDevice, backend: Backend) -> tuple[str, ...]:
    """Return the nodes that a device on a vfio driver has; none where the kernel lacks the backend (K27)."""
    nodes: list[str] = []
    if backend is not Backend.IOMMUFD and _is_node(device.vfio_group_node):
        nodes += [VFIO_CONTAINER_NODE, device.vfio_group_node]
    if backend is not Backend.LEGACY and _is_node(device.vfio_cdev):
        # The kernel builds devices' own nodes with iommufd only: where the one is, the other is.
        nodes += [device.vfio_cdev, IOMMU_NODE]
    return tuple(nodes)


def nodes_after_bind(device: PciDevice) -> tuple[str, ...]:
    """Return the nodes that a device will have: its own is named by the kernel when it is bound."""
    return (VFIO_CONTAINER_NODE, f"{VFIO_GROUP_NODES}/{device.iommu_group}")


def _is_node(path: str | None) -> TypeGuard[str]:
    return path is not None and _NODE.fullmatch(path) is not None


def is_noiommu(node: str) -> bool:
    """Tell whether a group's node is one without an IOMMU, which only CAP_SYS_RAWIO opens (K29)."""
    return node.startswith(f"{VFIO_GROUP_NODES}/noiommu-")
