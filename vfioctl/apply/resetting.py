"""Resetting functions, by whichever method the kernel has for them."""

from __future__ import annotations

import os

from vfioctl.sysfs.root import PCI_DEVICES
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.model.address import PciAddress


def reset(addresses: Iterable[PciAddress], devices: str = PCI_DEVICES) -> str | None:
    """Reset each; return why the first that cannot be reset cannot.

    The kernel waits for the function to come back, up to a minute (K55): not for a process that must answer.
    """
    for address in addresses:
        try:
            descriptor = os.open(f"{devices}/{address}/reset", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, b"1")
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return f"{address} has no way to be reset"
        except OSError as error:
            return f"{address}: resetting it: {error.strerror}"
    return None
