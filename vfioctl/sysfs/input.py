"""Which functions keyboards and mice are plugged in behind: most often a USB controller."""

from __future__ import annotations

from vfioctl.model.usage import Usage, UsageKind
from vfioctl.sysfs import root
from vfioctl.sysfs.classes import class_members, is_numbered
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.address import PciAddress
    from vfioctl.sysfs.attribute import Attributes

# The first keys of the kernel's numbering, Esc to D; headsets, screens and cameras have a few others.
_LETTERS = 0xFFFFFFFE


def input_uses(attributes: Attributes) -> Iterator[tuple[PciAddress, Usage]]:
    """Yield the keyboards and mice behind functions.

    By the class and not by /proc/bus/input/devices: reading that takes a lock which a driver on its way out
    may hold, and it tells serial numbers.
    """
    members = tuple(class_members(attributes, root.INPUTS, lambda name: is_numbered(name, "input", "mouse")))
    # "mouse0" sits in the folder of its input.
    mice = {path.rpartition("/")[0] for name, path, _ in members if name.startswith("mouse")}
    for name, path, address in members:
        if address is None or name.startswith("mouse"):
            continue
        for what in _kinds(attributes, path, is_mouse=path in mice):
            model = attributes.text(f"{path}/name") or name
            yield address, Usage(UsageKind.INPUT, what, f"the {what} {model} is behind it")


def _kinds(attributes: Attributes, path: str, *, is_mouse: bool) -> Iterator[str]:
    words = (attributes.text(f"{path}/capabilities/key") or "").split()
    try:
        keys = int(words[-1], 16) if words else 0
    except ValueError:
        keys = 0
    if keys & _LETTERS == _LETTERS:
        yield "keyboard"
    if is_mouse:
        yield "mouse"
