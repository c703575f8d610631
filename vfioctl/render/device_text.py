"""Short texts about a device: what it is called and what the host uses it for."""

from __future__ import annotations

from vfioctl.model.usage import UsageKind
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

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
    UsageKind.GPU: "busy",
    UsageKind.INPUT: "input",
}
_IMPLIED_BY = {
    UsageKind.HOLDER: {UsageKind.MOUNT, UsageKind.SWAP, UsageKind.MEMBER},
    UsageKind.ADDRESS: {UsageKind.ROUTE},
    UsageKind.INTERFACE: {UsageKind.ROUTE, UsageKind.ADDRESS, UsageKind.MASTER},
    UsageKind.FRAMEBUFFER: {UsageKind.CONSOLE},
}
_WITHOUT_SUBJECT = {UsageKind.CONSOLE, UsageKind.MDEV, UsageKind.GPU, UsageKind.INPUT}


def ids_text(device: PciDevice) -> str:
    """Return vendor and device id as ``lspci -nn`` and the kernel's parameters write them."""
    return "%04x:%04x" % (device.vendor_id, device.device_id)  # noqa: UP031 - faster than an f-string here


class Namer:
    """What devices are called; each name is made once, since hosts have many devices of few kinds."""

    def __init__(self, names: Names, *, with_vendor: bool = False) -> None:
        """Look names up in a database; with the vendor's before the device's, as ``lspci`` does."""
        self._names = names
        self._with_vendor = with_vendor
        self._known: dict[tuple[int, int, int], str] = {}
        self._words: dict[int, str] = {}

    def name(self, device: PciDevice) -> str:
        """Return the device's own name, or the best that is known."""
        key = (device.vendor_id, device.device_id, device.class_code)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = visible(self._look_up(*key))
        return found

    def word(self, device: PciDevice) -> str:
        """Return the word for the device's class."""
        found = self._words.get(device.class_code)
        if found is None:
            found = self._words[device.class_code] = device.word
        return found

    def _look_up(self, vendor_id: int, device_id: int, class_code: int) -> str:
        vendor, name = self._names.vendor(vendor_id), self._names.device(vendor_id, device_id)
        if name:
            return f"{vendor} {name}" if self._with_vendor and vendor else name
        if vendor:
            return f"{vendor} device {device_id:04x}"
        return self._names.class_name(class_code) or NONE


def state(device: PciDevice) -> Piece:
    """Say in a few words what is wrong with a device, or what the host uses it for."""
    if device.alive is False:
        return "does not answer", "bad"
    if device.unbinding:
        return "unbind is waiting", "bad"
    if not device.usage:
        return NONE, "faint"
    return use_summary(device.usage), "warn"


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
