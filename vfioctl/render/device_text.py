"""Short texts about a device: what it is called and what the host uses it for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfioctl.model.usage import UsageKind
from vfioctl.render.text import visible

if TYPE_CHECKING:
    from vfioctl.model.device import PciDevice
    from vfioctl.model.usage import Usage
    from vfioctl.render.styled import Piece
    from vfioctl.sysfs.names import Names

NONE = "-"
"""What stands in a column where there is nothing, so that columns can be counted."""

_SUBJECTS_SHOWN = 2

# Gravest first; and what says the same more precisely makes the general one superfluous.
_WORDS = {
    UsageKind.VM: "VM",
    UsageKind.ROUTE: "route",
    UsageKind.MOUNT: "mount",
    UsageKind.SWAP: "swap",
    UsageKind.MEMBER: "member",
    UsageKind.HOLDER: "held",
    UsageKind.CONSOLE: "console",
    UsageKind.FRAMEBUFFER: "framebuffer",
    UsageKind.MASTER: "port",
    UsageKind.UPPER: "upper",
    UsageKind.ADDRESS: "address",
    UsageKind.INTERFACE: "up",
    UsageKind.MDEV: "mdev",
    UsageKind.PROCESS: "open",
}
_IMPLIED_BY = {
    UsageKind.HOLDER: {UsageKind.MOUNT, UsageKind.SWAP, UsageKind.MEMBER},
    UsageKind.ADDRESS: {UsageKind.ROUTE},
    UsageKind.INTERFACE: {UsageKind.ROUTE, UsageKind.ADDRESS, UsageKind.MASTER},
    UsageKind.FRAMEBUFFER: {UsageKind.CONSOLE},
}
_WITHOUT_SUBJECT = {UsageKind.CONSOLE, UsageKind.MDEV}


def ids_text(device: PciDevice) -> str:
    """Return vendor and device id as ``lspci -nn`` and the kernel's parameters write them."""
    return f"{device.vendor_id:04x}:{device.device_id:04x}"


def device_name(device: PciDevice, names: Names) -> str:
    """Return the device's own name, or the best that is known."""
    name = names.device(device.vendor_id, device.device_id)
    if name:
        return visible(name)
    vendor = names.vendor(device.vendor_id)
    if vendor:
        return f"{visible(vendor)} device {device.device_id:04x}"
    return visible(names.class_name(device.class_code) or NONE)


def full_name(device: PciDevice, names: Names) -> str:
    """Return the vendor's and the device's name, as ``lspci`` does."""
    vendor, name = names.vendor(device.vendor_id), names.device(device.vendor_id, device.device_id)
    if vendor and name:
        return visible(f"{vendor} {name}")
    return device_name(device, names)


def state(device: PciDevice) -> Piece:
    """Say in a few words what is wrong with a device, or what the host uses it for."""
    if device.alive is False:
        return "does not answer", "bad"
    if device.unbinding:
        return "unbind is waiting", "bad"
    summary = use_summary(device.usage)
    if summary:
        return summary, "warn"
    return NONE, "faint"


def use_summary(usage: tuple[Usage, ...]) -> str:
    """Return the kinds of use with the disks, interfaces or processes concerned, gravest first."""
    subjects: dict[UsageKind, dict[str, None]] = {}
    for use in usage:
        subjects.setdefault(use.kind, {})[use.subject] = None
    shown = [
        _kind_text(kind, list(subjects[kind]))
        for kind in _WORDS
        if kind in subjects and subjects.keys().isdisjoint(_IMPLIED_BY.get(kind, ()))
    ]
    return ", ".join(shown)


def _kind_text(kind: UsageKind, subjects: list[str]) -> str:
    word = _WORDS[kind]
    if kind in _WITHOUT_SUBJECT:
        return word
    more = len(subjects) - _SUBJECTS_SHOWN
    shown = " ".join(visible(subject) for subject in subjects[:_SUBJECTS_SHOWN])
    return f"{word} {shown}" + (f" +{more}" if more > 0 else "")
