"""The VFIO interface of the kernel, as far as the lab asks it for the truth or holds a device with it."""

from __future__ import annotations

import array
import ctypes
import fcntl
import mmap
import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_BASE: Final = ord(";") << 8
SET_IOMMU: Final = _BASE | 102
GROUP_GET_STATUS: Final = _BASE | 103
GROUP_SET_CONTAINER: Final = _BASE | 104
GROUP_GET_DEVICE_FD: Final = _BASE | 106
DEVICE_SET_IRQS: Final = _BASE | 110
IOMMU_MAP_DMA: Final = _BASE | 113

TYPE1: Final = 1
VIABLE: Final = 1
READ_WRITE: Final = 3
REQUEST_INTERRUPT: Final = 4
"""Index of the "please release this device" interrupt of vfio-pci."""
EVENTFD_TRIGGER: Final = (1 << 2) | (1 << 5)


@contextmanager
def opened(path: str) -> Iterator[int]:
    """Have a node open for reading and writing."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_viable(group: int) -> bool:
    """Ask the kernel whether a group is viable (K20); one of its members must be on a VFIO driver."""
    status = array.array("I", [8, 0])
    with opened(f"/dev/vfio/{group}") as descriptor:
        fcntl.ioctl(descriptor, GROUP_GET_STATUS, status)
    return bool(status[1] & VIABLE)


def map_memory(group: int, size: int) -> None:
    """Let the devices of a group reach so much memory, as a virtual machine does with its own, and end it."""
    with opened("/dev/vfio/vfio") as container, opened(f"/dev/vfio/{group}") as descriptor:
        fcntl.ioctl(descriptor, GROUP_SET_CONTAINER, array.array("i", [container]))
        fcntl.ioctl(container, SET_IOMMU, TYPE1)
        with mmap.mmap(-1, size) as memory:
            start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            fcntl.ioctl(container, IOMMU_MAP_DMA, struct.pack("=IIQQQ", 32, READ_WRITE, start, 0, size))


def open_device(address: str, group: int) -> tuple[int, int, int]:
    """Open container, group and device as a virtual machine does; all three stay open."""
    container = os.open("/dev/vfio/vfio", os.O_RDWR)
    group_descriptor = os.open(f"/dev/vfio/{group}", os.O_RDWR)
    fcntl.ioctl(group_descriptor, GROUP_SET_CONTAINER, array.array("i", [container]))
    fcntl.ioctl(container, SET_IOMMU, TYPE1)
    name = bytearray(address.encode() + b"\0")  # a mutable buffer: else Python gives it back, not the result
    return container, group_descriptor, fcntl.ioctl(group_descriptor, GROUP_GET_DEVICE_FD, name)


def notify_requests(device: int) -> int:
    """Give an event descriptor that becomes readable when the kernel wants the device back (K33)."""
    event = os.eventfd(0)
    request = bytearray(struct.pack("=IIIIIi", 24, EVENTFD_TRIGGER, REQUEST_INTERRUPT, 0, 1, event))
    fcntl.ioctl(device, DEVICE_SET_IRQS, request)
    return event
