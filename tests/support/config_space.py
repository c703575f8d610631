"""PCI configuration spaces as the hardware would show them: header, PCIe capability, ACS."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

ENDPOINT, LEGACY_ENDPOINT, ROOT_PORT, UPSTREAM, DOWNSTREAM, PCIE_TO_PCI, INTEGRATED = 0, 1, 4, 5, 6, 7, 9
"""PCIe device/port types, as in the PCIe capability."""

_CAPABILITY = 0x40
_EXTENDED = 0x100
_MULTIFUNCTION = 0x80
_REGIONS = 7
_ACS_ON = 0x1D  # source validation, request and completion redirect, upstream forwarding


class Ids(NamedTuple):
    """Vendor, device and their subsystem twins."""

    vendor: int
    device: int
    subsystem_vendor: int = 0
    subsystem_device: int = 0

    @classmethod
    def parse(cls, text: str) -> Ids:
        """Read ``10de:2204`` or ``10de:2204:1043:87d9``."""
        return cls(*(int(word, 16) for word in text.split(":")))


class Bar(NamedTuple):
    """One memory region of a device; size 0 is an unused register."""

    start: int
    size: int
    prefetchable: bool = False

    def flags(self) -> int:
        """Return the kernel's resource flags: memory, 64 bits wide where it must be."""
        return (
            (0x40200 | (0x2000 if self.prefetchable else 0) | (0x100000 if self.wide() else 0))
            if self.size
            else 0
        )

    def wide(self) -> bool:
        """Whether the address needs two registers."""
        return self.start >= 1 << 32


class Space(NamedTuple):
    """What a configuration space says; `encode` makes the bytes."""

    ids: Ids
    class_code: int
    revision: int = 0
    bars: Sequence[Bar] = ()
    pcie_type: int | None = ENDPOINT
    acs: bool = False
    buses: tuple[int, int, int] | None = None
    """Primary, secondary and subordinate bus of a bridge; None for an endpoint."""
    multifunction: bool = False
    virtual_function: bool = False

    def encode(self) -> bytes:
        """Return 256 bytes of a conventional device, or 4096 of a PCIe one."""
        space = bytearray(4096 if self.pcie_type is not None else 256)
        # A VF's own id registers read as ones; its ids are its PF's to say.
        ids = (0xFFFF, 0xFFFF) if self.virtual_function else self.ids[:2]
        struct.pack_into("<HHHH", space, 0, *ids, 0x0406, 0x0010 if self.pcie_type is not None else 0)
        struct.pack_into("<I", space, 0x08, self.class_code << 8 | self.revision)
        space[0x0E] = (self.buses is not None) | (_MULTIFUNCTION if self.multifunction else 0)
        self._put_bars(space)
        if self.buses is not None:
            space[0x18:0x1B] = bytes(self.buses)
        else:
            struct.pack_into("<HH", space, 0x2C, *self.ids[2:])
        if self.pcie_type is not None:
            space[0x34] = _CAPABILITY
            struct.pack_into("<BBH", space, _CAPABILITY, 0x10, 0, 2 | self.pcie_type << 4)
            if self.acs:
                struct.pack_into("<HHHH", space, _EXTENDED, 0x000D, 1, 0x1F, _ACS_ON)
        return bytes(space)

    def _put_bars(self, space: bytearray) -> None:
        if self.virtual_function:
            return
        offset = 0x10
        for bar in self.bars:
            kind = (0x8 if bar.prefetchable else 0) | (0x4 if bar.wide() else 0)
            struct.pack_into("<I", space, offset, (bar.start & 0xFFFFFFFF) | kind if bar.size else 0)
            if bar.wide():
                struct.pack_into("<I", space, offset + 4, bar.start >> 32)
            offset += 8 if bar.wide() else 4

    def resource(self) -> bytes:
        """Return the ``resource`` file up to the expansion ROM; the kernel has more rows."""
        lines = []
        for bar in self.bars:
            lines.append((bar.start, bar.start + bar.size - 1 if bar.size else 0, bar.flags()))
            if bar.wide():
                lines.append((0, 0, 0))
        lines += [(0, 0, 0)] * (_REGIONS - len(lines))
        return "".join(
            f"0x{start:016x} 0x{end:016x} 0x{flags:016x}\n" for start, end, flags in lines
        ).encode()

    def modalias(self) -> str:
        """Return what module aliases are matched against."""
        ids, code = self.ids, self.class_code
        return (
            f"pci:v{ids.vendor:08X}d{ids.device:08X}sv{ids.subsystem_vendor:08X}sd{ids.subsystem_device:08X}"
            f"bc{code >> 16:02X}sc{code >> 8 & 0xFF:02X}i{code & 0xFF:02X}"
        )
