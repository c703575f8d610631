"""A kernel's image is taken apart as its header says, or left as it is."""

from __future__ import annotations

import lzma
import struct

from tests.lab import bzimage

KERNEL = b"\x7fELF and what else a kernel is"


def packed(payload: bytes, version: int = 0x020F) -> bytes:
    """Give an image with one sector of setup, and the payload sixteen bytes into what follows."""
    head = bytearray(2 * 512 + 16)
    head[0x1F1] = 1
    struct.pack_into("<H", head, 0x206, version)
    struct.pack_into("<II", head, 0x248, 16, len(payload))
    return bytes(head) + payload + b"what comes after it"


def test_what_is_packed_with_xz_is_unpacked_although_its_length_follows() -> None:
    """The kernel's build appends it to the compressed data."""
    compressed = lzma.compress(KERNEL) + struct.pack("<I", len(KERNEL))
    assert bzimage.unpacked(packed(compressed)) == KERNEL


def test_everything_else_is_left_as_it_is() -> None:
    """Another compression, no kernel, a header too old to say where it is, no image at all."""
    for image in (
        packed(b"\x28\xb5\x2f\xfd" + KERNEL),
        packed(lzma.compress(b"no kernel")),
        packed(lzma.compress(KERNEL), 0x0207),
        b"",
    ):
        assert bzimage.unpacked(image) is None
