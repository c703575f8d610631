"""Which entries a domain has already, and whether they say what was asked for."""

from __future__ import annotations

from vfioctl.libvirt.values import (
    MdevHostdev,
    NvmeDisk,
    PciHostdev,
    UsbHostdev,
    VfInterface,
    identity,
    name_of,
)
from vfioctl.model.usb import UsbDevice
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.libvirt.compose import Entry
    from vfioctl.libvirt.facts import Domain
    from vfioctl.libvirt.values import Device

_NAMING = frozenset(
    {"source", "uuid", "model", "vendor_id", "product_id", "bus", "device", "port", "namespace", "target"}
)
"""Fields that say which device it is, not how it is given."""


def same_device(there: Device, entry: Entry) -> bool:
    """Tell whether a domain's device is that of an entry, whatever either makes of it."""
    functions = PciHostdev | VfInterface | NvmeDisk
    wanted = entry.device
    if isinstance(there, functions) and isinstance(wanted, functions):
        both_disks = isinstance(there, NvmeDisk) and isinstance(wanted, NvmeDisk)
        return identity(there) == identity(wanted) if both_disks else there.source == wanted.source
    if isinstance(there, UsbHostdev) and isinstance(entry.place, UsbDevice):
        return names_usb(there, entry.place)
    return identity(there) == identity(wanted)


def names_usb(there: UsbHostdev, usb: UsbDevice) -> bool:
    """Tell whether all that a domain says of a USB device holds for one of the host."""
    said = (there.vendor_id, there.product_id, there.bus, there.device, there.port)
    have = (usb.vendor_id, usb.product_id, usb.bus, usb.device, usb.port)
    return all(want in {None, one} for want, one in zip(said, have, strict=True))


def present(domain: Domain, entry: Entry) -> Device | None:
    """Return the device of a domain that an entry is about, or None."""
    return next((device for device in domain.devices if same_device(device, entry)), None)


def differences(there: Device, entry: Entry) -> list[str]:
    """Return what an entry asks for and the domain says otherwise, by the names of the fields."""
    if entry.sibling:
        # It is listed: libvirt detaches it with the others, whether the guest sees it or not.
        return []
    if type(there) is not type(entry.asked):
        return [f"kind ({_kind(there)}, not {_kind(entry.asked)})"]
    return list(_different(there, entry.asked))


def _different(there: Device, asked: Device) -> Iterator[str]:
    for name, value in asked._asdict().items():
        if name == "info":
            have = there.info._asdict()
            yield from (
                key for key, want in value._asdict().items() if want is not None and want != have[key]
            )
        elif name not in _NAMING and value is not None and value != getattr(there, name):
            yield name


def _kind(device: Device) -> str:
    match device:
        case VfInterface():
            return "an interface"
        case NvmeDisk():
            return "a disk"
        case PciHostdev() | MdevHostdev() | UsbHostdev():
            return "a plain host device"


def conflict_text(there: Device, fields: Sequence[str]) -> str:
    """Say that a device is there with other settings."""
    return f"{name_of(there)} is there already with another {', '.join(fields)}"
