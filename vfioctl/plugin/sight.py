"""What the plugin sees beside the PCI functions of a host: USB devices, and which device nodes are there."""

from __future__ import annotations

import os
import stat

from vfioctl.model.value import NamedTuple
from vfioctl.sysfs.attribute import Attributes, Files
from vfioctl.sysfs.usb import read_usb
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.model.usb import UsbDevice
    from vfioctl.sysfs.root import HostRoot


def is_character_device(path: str) -> bool | None:
    """Tell whether a path is a character device now; None where that may not be asked."""
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)  # noqa: PTH116 - asked for each of thousands of nodes
    except PermissionError:
        return None
    except OSError:
        return False


def unknown_node(_path: str) -> bool | None:
    """Stand in for `is_character_device` where there are no nodes to ask for: in a snapshot."""
    return None


class Sight(NamedTuple):
    """What is there beside the PCI functions."""

    usb: tuple[UsbDevice, ...] | None = None
    """The USB devices; None where the host does not say which there are."""
    has_node: Callable[[str], bool | None] = is_character_device
    """Whether a path is a character device; None: unknown. Asked when something is judged, not before."""


def look(root: HostRoot, *, usb: bool = True) -> Sight:
    """Look at a host; without `usb` its USB devices are not read, as they need not be everywhere."""
    devices = read_usb(Attributes(Files(root))) if usb else None
    return Sight(devices, is_character_device if root.live else unknown_node)
