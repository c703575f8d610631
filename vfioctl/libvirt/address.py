"""Addresses in XML: those of host and guest, PCI and otherwise."""

from __future__ import annotations

import re

from vfioctl.libvirt.text import append
from vfioctl.libvirt.values import UNASSIGNED, GuestAddress
from vfioctl.model.address import PciAddress
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    from lxml import etree

# As strtoul with base 0 reads them: decimal, hexadecimal, octal.
_NUMBER = r"\s*(?:0[xX](?P<hex>[0-9a-fA-F]{1,8})|0(?P<octal>[0-7]{1,11})|(?P<decimal>[0-9]{1,10}))"


def number(text: str | None) -> int | None:
    """Read a number as libvirt does, in base 10, 16 (``0x``) or 8 (``0``); None where it is none."""
    found = re.fullmatch(_NUMBER, text or "")
    if found is None:
        return None
    if found["hex"]:
        return int(found["hex"], 16)
    return int(found["octal"], 8) if found["octal"] else int(found["decimal"])


def hex_number(value: int, width: int) -> str:
    """Spell a number as libvirt prints it."""
    return f"0x{value:0{width}x}"


def append_source(parent: etree._Element, address: PciAddress, kind: str | None = None) -> etree._Element:
    """Append the address of a PCI function of the host."""
    return append(
        parent,
        "address",
        type=kind,
        domain=hex_number(address.domain, 4),
        bus=hex_number(address.bus, 2),
        slot=hex_number(address.device, 2),
        function=hex_number(address.function, 1),
    )


def read_source(node: etree._Element | None) -> PciAddress | None:
    """Read the address of a PCI function of the host; what is left out is 0, as in libvirt."""
    if node is None:
        return None
    parts = [number(node.get(name, "0")) for name in ("domain", "bus", "slot", "function")]
    domain, bus, slot, function = parts
    if domain is None or bus is None or slot is None or function is None:
        return None
    return PciAddress(domain, bus, slot, function)


def append_guest(parent: etree._Element, guest: GuestAddress | Literal["unassigned"] | None) -> None:
    """Append the address in the guest, if one was chosen."""
    if guest is None:
        return
    if not isinstance(guest, GuestAddress):
        append(parent, "address", type=UNASSIGNED)
        return
    made = append_source(parent, PciAddress(0, guest.bus, guest.slot, guest.function), "pci")
    if guest.multifunction:
        made.set("multifunction", "on")


def read_guest(node: etree._Element | None) -> GuestAddress | Literal["unassigned"] | None:
    """Read the address in the guest; None where there is none, or one that is not of PCI."""
    if node is None:
        return None
    if node.get("type") == UNASSIGNED:
        return UNASSIGNED
    address = read_source(node) if node.get("type") == "pci" else None
    if address is None:
        return None
    return GuestAddress(
        address.bus, address.device, address.function, multifunction=node.get("multifunction") == "on"
    )
