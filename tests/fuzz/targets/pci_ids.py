"""The name database: whatever bytes stand in pci.ids."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from tests.fuzz.stage import check_visible
from vfioctl.render.text import visible
from vfioctl.sysfs.names import Names, load_names

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.target import Run

WORDS = ("8086  ", "\t10d3  ", "\t\t8086 a01f  ", "\nC 02  ", "\t00  ", "\n", "#", "\x1b[2J", "\xff\xfe")
_GZIP = b"\x1f\x8b"
_ASKED = (0x8086, 0x10DE, 0, 0xFFFF)


def prepare(place: Path) -> Run:
    """Look everything up that could be there."""
    plain, packed = place / "pci.ids", place / "packed"

    def run(data: bytes) -> None:
        plain.write_bytes(data)
        # The packaged database takes the place of what cannot be unpacked, which takes long.
        broken = data.startswith(_GZIP)
        packed.with_suffix(".gz").write_bytes(data if broken else gzip.compress(data, 1))
        for names in (Names(data), load_names([str(plain)]), load_names([str(packed)])):
            for vendor in _ASKED:
                found = [names.vendor(vendor), names.device(vendor, 0x10D3)]
                found += [
                    names.subsystem(vendor, 0x10D3, 0x8086, 0xA01F),
                    names.class_name(0x020000 | vendor),
                ]
                check_visible("".join(visible(name) for name in found if name))

    return run
