"""A kernel's image taken apart: what it would unpack itself, emulated, before it says its first word."""

from __future__ import annotations

import lzma
import struct
from typing import Final

_SECTOR: Final = 512
_SECTORS_OF_SETUP: Final = 0x1F1
_VERSION: Final = 0x206
_PAYLOAD: Final = 0x248
"""Offsets in the header that a boot loader reads: of the payload there are offset and length."""
_PAYLOAD_IS_TOLD: Final = 0x0208
"""The first version of the boot protocol in which they are."""
_XZ: Final = b"\xfd7zXZ\0"
_ELF: Final = b"\x7fELF"


def unpacked(image: bytes) -> bytes | None:
    """Give the kernel as an ELF file, None where it is not packed with xz or has no such header."""
    payload = _payload(image)
    if not payload.startswith(_XZ):
        return None
    # The length of what was packed comes behind it, which the decompressor does not take.
    kernel = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    return kernel if kernel.startswith(_ELF) else None


def _payload(image: bytes) -> bytes:
    """Give what is packed inside."""
    if len(image) < _PAYLOAD + 8 or struct.unpack_from("<H", image, _VERSION)[0] < _PAYLOAD_IS_TOLD:
        return b""
    offset, length = struct.unpack_from("<II", image, _PAYLOAD)
    start = (1 + (image[_SECTORS_OF_SETUP] or 4)) * _SECTOR + offset
    return image[start : start + length]
