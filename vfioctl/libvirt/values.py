"""What a domain's XML says about host devices, as values: one kind for each shape libvirt has.

None means that the XML does not say it, and libvirt decides.
"""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from vfioctl.model.address import PciAddress

MDEV_APIS = ("vfio-pci", "vfio-ccw", "vfio-ap")
"""The device APIs of mediated devices that libvirt knows; the first is that of PCI functions."""

STARTUP_POLICIES = ("mandatory", "requisite", "optional")
"""What libvirt may do when a USB device is missing."""

GUEST_RESETS = ("off", "uninitialized", "on")
"""Which resets by the guest reach a USB device."""

UNASSIGNED: Literal["unassigned"] = "unassigned"
"""The guest address of a device that libvirt detaches from the host and the guest does not see."""


class GuestAddress(NamedTuple):
    """Where a device sits in the guest; the guest's domain is always 0."""

    bus: int
    slot: int
    function: int = 0
    multifunction: bool = False
    """On function 0 only: the slot has other functions as well."""

    def __str__(self) -> str:
        """Spell it as lspci in the guest does."""
        return f"{self.bus:02x}:{self.slot:02x}.{self.function:x}"


class Rom(NamedTuple):
    """The ROM that the guest sees: ``enabled=False`` excludes the other two (X7)."""

    file: str | None = None
    bar: bool | None = None
    enabled: bool | None = None


class Info(NamedTuple):
    """What every device in a domain may have, whatever it is."""

    boot: int | None = None
    alias: str | None = None
    rom: Rom | None = None
    acpi_index: int | None = None
    acpi_nodeset: str | None = None
    guest: GuestAddress | Literal["unassigned"] | None = None


NO_INFO = Info()
"""Nothing said."""


class PciHostdev(NamedTuple):
    """A whole PCI function."""

    source: PciAddress
    managed: bool | None = None
    """Whether libvirt detaches and reattaches it; None is no (X1)."""
    driver_model: str | None = None
    iommufd: bool | None = None
    display: bool | None = None
    ramfb: bool | None = None
    teaming: str | None = None
    """The alias of the persistent interface that stands in while this one is away."""
    info: Info = NO_INFO


class MdevHostdev(NamedTuple):
    """A mediated device."""

    uuid: str
    model: str
    """The device API: ``vfio-pci``, ``vfio-ccw`` or ``vfio-ap``."""
    display: bool | None = None
    ramfb: bool | None = None
    info: Info = NO_INFO


class UsbHostdev(NamedTuple):
    """A USB device: by its ids, by bus and device number, by bus and port, or by ids and numbers."""

    vendor_id: int | None = None
    product_id: int | None = None
    bus: int | None = None
    device: int | None = None
    """Given anew at each plug (X10)."""
    port: str | None = None
    """The way from the root hub, ``1.2.5``: stable."""
    startup_policy: str | None = None
    guest_reset: str | None = None
    info: Info = NO_INFO


class VfInterface(NamedTuple):
    """A virtual function as a network interface, whose MAC and VLAN libvirt sets (X5)."""

    source: PciAddress
    managed: bool | None = None
    mac: str | None = None
    vlan: int | None = None
    trust: bool | None = None
    driver_model: str | None = None
    iommufd: bool | None = None
    teaming: str | None = None
    info: Info = NO_INFO


class NvmeDisk(NamedTuple):
    """One namespace of an NVMe controller as a disk, driven by QEMU itself."""

    source: PciAddress
    namespace: int
    target: str
    managed: bool | None = None
    bus: str | None = "virtio"
    info: Info = NO_INFO


Device: TypeAlias = "PciHostdev | MdevHostdev | UsbHostdev | VfInterface | NvmeDisk"
"""Anything of the host that a domain can have."""


def identity(device: Device) -> tuple[object, ...]:
    """Return what makes two entries of a domain the same device of the host."""
    match device:
        case PciHostdev() | VfInterface():
            return "pci", device.source
        case NvmeDisk():
            return "nvme", device.source, device.namespace
        case MdevHostdev():
            return "mdev", device.uuid
        case UsbHostdev():
            return "usb", device.vendor_id, device.product_id, device.bus, device.device, device.port


def name_of(device: Device) -> str:
    """Name a device of the host as an administrator does."""
    match device:
        case PciHostdev() | VfInterface() | NvmeDisk():
            return str(device.source)
        case MdevHostdev():
            return f"mdev:{device.uuid}"
        case UsbHostdev(port=str()):
            return f"usb:{device.bus}-{device.port}"
        case UsbHostdev(vendor_id=int()):
            return f"usb:{device.vendor_id:04x}:{device.product_id or 0:04x}"
        case UsbHostdev():
            return f"USB device {device.device} on bus {device.bus}"
