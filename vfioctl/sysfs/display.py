"""Which GPUs the host drives, and which of them its console is drawn on."""

from __future__ import annotations

from vfioctl.model.usage import Usage, UsageKind
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root
from vfioctl.sysfs.classes import class_members, is_numbered
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.sysfs.attribute import Attributes
    from vfioctl.sysfs.fetch import Found
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
NVIDIA = "nvidia"
"""The driver whose nodes are not all in a class."""

_DISPLAY_CLASS = 0x03
_MEMORY = 0x200


class Screen(NamedTuple):
    """A card, a render node or a connector of the class ``drm``, or an accelerator."""

    name: str
    path: str
    """Where it is in the device tree."""
    function: PciAddress


class Gpus(NamedTuple):
    """The GPUs that a driver of the host has, and the nodes it offers for them."""

    nodes: Mapping[str, PciAddress]
    """``/dev/dri/card0``, ``/dev/dri/renderD128``, ``/dev/accel/accel0`` to their functions."""
    drivers: Mapping[str, Sequence[PciAddress]]
    """Driver to its GPUs."""
    screens: Sequence[Screen]
    """The cards and their connectors (``card0``, ``card0-DP-1``)."""
    maybe_open: bool
    """Whether a program may have a node open; where none can, no process needs to be looked at."""


def read_gpus(attributes: Attributes, found: Iterable[Found]) -> Gpus:
    """Read which GPUs there are, and whether any can be in use."""
    screens = _members(attributes, root.DRM, _is_screen)
    nodes = {f"{root.NODES}/dri/{name}": address for name, _, address in screens if "-" not in name}
    for name, _, address in _members(attributes, root.ACCELERATORS, _is_accelerator):
        nodes[f"{root.NODES}/accel/{name}"] = address
    offered = frozenset(nodes.values())
    # Without its DRM module, NVIDIA's driver has nodes that no class lists.
    gpus = [one for one in found if one.facts.driver == NVIDIA or (offered and one.address in offered)]
    drivers: dict[str, list[PciAddress]] = {}
    for one in gpus:
        if one.facts.driver is not None:
            drivers.setdefault(one.facts.driver, []).append(one.address)
    maybe_open = any(_may_be_open(attributes, driver) for driver in drivers)
    return Gpus(nodes, drivers, screens, maybe_open)


def _is_screen(name: str) -> bool:
    # "card0", "renderD128", "card0-DP-1"
    card, dash, connector = name.partition("-")
    return is_numbered(card, "card", "renderD") and (not dash or bool(connector))


def _is_accelerator(name: str) -> bool:
    return is_numbered(name, "accel")


def _members(attributes: Attributes, path: str, keep: Callable[[str], bool]) -> tuple[Screen, ...]:
    members = class_members(attributes, path, keep)
    return tuple(Screen(name, place, address) for name, place, address in members if address is not None)


def _may_be_open(attributes: Attributes, driver: str) -> bool:
    """Tell whether a program may have one of a driver's nodes open: its module's use count has each open one.

    It does not have the text console, so most servers are spared the walk through all processes.
    """
    module = attributes.target(f"{root.PCI_DRIVERS}/{driver}/module")
    # What is built in is not counted.
    return module is None or attributes.integer(f"{module}/refcnt") != 0


def firmware_framebuffers(attributes: Attributes) -> tuple[tuple[int, int, str], ...]:
    """Return the memory of the firmware's framebuffers; where it is hidden (K31), that is noted."""
    found = []
    for line in attributes.lines(root.IO_MEMORY):
        # such as: e0000000-e02fffff : BOOTFB
        span, _, name = line.partition(" : ")
        if not name.endswith(FIRMWARE_FRAMEBUFFERS):
            continue
        try:
            start, end = (int(number, 16) for number in span.split("-"))
        except ValueError:
            continue
        if end:
            found.append((start, end, name))
        else:
            attributes.unread[root.IO_MEMORY] = "its addresses read as zeros (run as root to see them)"
    return tuple(found)


def displays(
    probes: Mapping[PciAddress, Probe], framebuffers: Mapping[str, PciAddress]
) -> dict[PciAddress, Probe]:
    """Return the few functions on which the console may depend."""
    # Of thousands few are displays: the others are passed by without a call.
    found = {
        address: facts
        for address, facts in probes.items()
        if facts.ids[4] >> 16 == _DISPLAY_CLASS or facts.boot_vga
    }
    return found | {owner: probes[owner] for owner in framebuffers.values() if owner in probes}


def display_uses(
    found: Mapping[PciAddress, Probe],
    framebuffers: Mapping[str, PciAddress],
    firmware: Sequence[tuple[int, int, str]],
) -> Iterator[tuple[PciAddress, Usage]]:
    """Yield how the console depends on these functions."""
    for address, facts in found.items():
        for usage in _display_uses(address, facts, framebuffers, firmware):
            yield address, usage


def _display_uses(
    address: PciAddress,
    facts: Probe,
    framebuffers: Mapping[str, PciAddress],
    firmware: Sequence[tuple[int, int, str]],
) -> Iterator[Usage]:
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


def screen_uses(
    attributes: Attributes, screens: Sequence[Screen], known: Collection[PciAddress]
) -> Iterator[tuple[PciAddress, Usage]]:
    """Yield what only DRM tells of the console; `known` functions are the console already (boot VGA).

    None of these files asks the hardware: a connector's `status` is what its driver saw last.
    """
    known = set(known)
    for name, path, function in screens:
        is_card = name.startswith("card") and "-" not in name
        # It is there, and 1, where the firmware started on a display that is no VGA (K47).
        if is_card and function not in known and attributes.text(f"{path}/boot_display") == "1":
            known.add(function)
            detail = "it is the display the firmware started on"
            yield function, Usage(UsageKind.CONSOLE, "boot_display", detail)
    connectors = [screen for screen in screens if "-" in screen.name]
    # A GPU without connectors is no display; one that was given away has none.
    if known or len({connector.function for connector in connectors}) != 1:
        return
    for name, path, function in connectors:
        if attributes.text(f"{path}/status") == "connected":
            socket = name.partition("-")[2]
            detail = f"it is the only display the host drives, with a screen at {socket}"
            yield function, Usage(UsageKind.CONSOLE, socket, detail)
            return
