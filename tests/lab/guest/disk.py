"""What outlasts a restart of a guest whose root is in memory: the folders that say what is done at boot."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from tests.lab import cpio

NAME: Final = "disk.cpio"
"""What the outside calls the archive that it gives to the next boot."""
FOLDERS: Final = (
    "etc/driverctl.d", "etc/modules-load.d", "etc/systemd/system", "etc/udev/rules.d", "etc/vfioctl",
)  # fmt: skip
"""Whatever is in them, is there again; the rest of the next boot's root is as it was unpacked."""


def packed(root: Path = Path("/")) -> bytes:
    """Give everything below these folders as one more archive for the kernel's initramfs."""
    present = [name for name in FOLDERS if (root / name).is_dir()]
    entries = (entry for name in present for entry in cpio.tree_entries(root / name, name))
    stream = io.BytesIO()
    cpio.write_archive(stream, entries)
    return stream.getvalue()
