"""The configuration space, as far as it says what sysfs does not: alive, header, port type, ACS."""

from __future__ import annotations

from vfioctl.lean import lru_cache
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG_HEADER = 64
"""What every user may read (K31)."""

_BRIDGE_CLASS = 0x06
_STATUS_HIGH = 0x06
_HAS_CAPABILITIES = 0x10
_HEADER_TYPE = 0x0E
_REVISION = 0x08
_NO_VENDOR = b"\xff\xff"
_CAPABILITY_POINTER = 0x34
_PCI_EXPRESS = 0x10
_CAPABILITY_AREA = 256
_EXTENDED_START = 0x100
_EXTENDED_END = 0x1000
_ACS = 0x000D
# Source validation, request redirect, completion redirect, upstream forwarding: what the kernel asks of a
# port before it keeps what is behind it apart.
_ISOLATION = 0x1D


class Config(NamedTuple):
    """Facts from the configuration space; None for what could not be read."""

    header_type: int | None = None
    alive: bool | None = None
    port_type: int | None = None
    """The device/port type field of the PCI Express capability."""
    acs: str | None = None
    """``isolates``, ``incomplete`` or ``absent``; for bridges only."""
    revision: int | None = None


def read_config(header: bytes, read: Callable[[int, int], bytes], base_class: int) -> Config:
    """Interpret a header; for bridges follow the capability lists through ``read(size, offset)``."""
    if len(header) < CONFIG_HEADER:
        return Config()
    # A device that fell off the bus answers every read with ones (K46). A virtual function has all ones
    # only in its id fields.
    if header.count(0xFF) == len(header):
        return Config(alive=False)
    kind = header[_HEADER_TYPE] & 0x7F
    revision = None if header[:2] == _NO_VENDOR else header[_REVISION]
    if base_class != _BRIDGE_CLASS or not header[_STATUS_HIGH] & _HAS_CAPABILITIES:
        return _plain(kind, revision)
    port_type = _port_type(read(_CAPABILITY_AREA - CONFIG_HEADER, CONFIG_HEADER), header[_CAPABILITY_POINTER])
    if port_type is None:
        return Config(kind, alive=True, revision=revision)
    return Config(kind, alive=True, port_type=port_type, acs=_acs(read), revision=revision)


# Of thousands of devices most are alike.
@lru_cache(maxsize=256)
def _plain(kind: int, revision: int | None) -> Config:
    return Config(kind, alive=True, revision=revision)


def _port_type(area: bytes, pointer: int) -> int | None:
    """Walk the capability list in the bytes after the header; other users than root get none of them."""
    for _ in range(48):  # the area holds no more; a list that loops ends here
        offset = (pointer & 0xFC) - CONFIG_HEADER
        if offset < 0 or offset + 3 >= len(area):
            return None
        if area[offset] == _PCI_EXPRESS:
            return area[offset + 2] >> 4
        pointer = area[offset + 1]
    return None


def _acs(read: Callable[[int, int], bytes]) -> str | None:
    offset = _EXTENDED_START
    for _ in range((_EXTENDED_END - _EXTENDED_START) // 8):
        head = read(4, offset)
        if len(head) < 4:  # noqa: PLR2004 - one register
            return None
        register = int.from_bytes(head, "little")
        if register & 0xFFFF == _ACS:
            return _acs_state(read(4, offset + 4))
        offset = register >> 20
        if offset < _EXTENDED_START:
            return "absent"
    return None


def _acs_state(registers: bytes) -> str | None:
    if len(registers) < 4:  # noqa: PLR2004 - one register
        return None
    capable = int.from_bytes(registers[:2], "little")
    enabled = int.from_bytes(registers[2:], "little")
    # What a port cannot do it cannot let through either: only what it is capable of must be switched on.
    return "incomplete" if _ISOLATION & capable & ~enabled else "isolates"
