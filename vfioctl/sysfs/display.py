"""Which function the host's console is drawn on."""

from __future__ import annotations

import re

from vfioctl.model.usage import Usage, UsageKind
from vfioctl.sysfs import root
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.address import PciAddress
    from vfioctl.sysfs.attribute import Attributes
    from vfioctl.sysfs.probe import Probe

# Names under which the firmware's framebuffer reserves memory, by driver and kernel (K47).
FIRMWARE_FRAMEBUFFERS = (
    "BOOTFB",
    "efidrm",
    "efifb",
    "simple-framebuffer",
    "simpledrm",
    "simplefb",
    "vesadrm",
    "vesafb",
)
_LINE = re.compile(r"\s*([0-9a-f]+)-([0-9a-f]+) : (.+)")
_DISPLAY_CLASS = 0x03
_MEMORY = 0x200


def firmware_framebuffers(attributes: Attributes) -> tuple[tuple[int, int, str], ...]:
    """Return the memory of the firmware's framebuffers; where it is hidden (K31), that is noted."""
    found = []
    for line in attributes.lines(root.IO_MEMORY):
        if line.endswith(FIRMWARE_FRAMEBUFFERS) and (match := _LINE.fullmatch(line)):
            start, end = int(match[1], 16), int(match[2], 16)
            if end:
                found.append((start, end, match[3]))
            else:
                attributes.unread[root.IO_MEMORY] = "its addresses read as zeros (run as root to see them)"
    return tuple(found)


def display_uses(
    address: PciAddress,
    facts: Probe,
    framebuffers: dict[str, PciAddress],
    firmware: tuple[tuple[int, int, str], ...],
) -> Iterator[Usage]:
    """Yield how the console depends on a function."""
    if facts.boot_vga:
        yield Usage(UsageKind.CONSOLE, "boot_vga", "it is the display the firmware started on (boot VGA)")
    for name, owner in framebuffers.items():
        if owner == address:
            yield Usage(UsageKind.FRAMEBUFFER, name, f"the framebuffer {name} is on it")
    if facts.ids[4] >> 16 != _DISPLAY_CLASS:
        return
    for start, end, name in firmware:
        if any(flags & _MEMORY and low <= start and end <= high for _, low, high, flags in facts.bars):
            yield Usage(UsageKind.FRAMEBUFFER, name, f"the firmware's framebuffer {name} is in its memory")
