"""The libvirt of this machine: its release, told without starting or asking anything."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from vfioctl.libvirt.version import Version
from vfioctl.sysfs.root import LIBRARY_FOLDERS
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LINK = "libvirt.so.0"
# libtool's numbers: libvirt.so.0.9000.0 is 9.0.0, libvirt.so.0.11003.0 is 11.3.0 (1000 * major + minor).
_LIBRARY = r"libvirt\.so\.0\.([0-9]{1,6})\.([0-9]{1,3})"
_MULTIARCH = "-linux-gnu"


def installed_version(folders: Sequence[str] = LIBRARY_FOLDERS) -> Version | None:
    """Return the release of the libvirt on this machine, by its library's name; None without one."""
    return max(_libraries(folders), default=None)


def _libraries(folders: Sequence[str]) -> Iterator[Version]:
    for folder in folders:
        for place in (folder, *_multiarch(folder)):
            with suppress(OSError):
                found = re.fullmatch(_LIBRARY, os.readlink(f"{place}/{_LINK}").rpartition("/")[2])  # noqa: PTH115
                if found is not None:
                    number = int(found[1])
                    yield Version(number // 1000, number % 1000, int(found[2]))


def _multiarch(folder: str) -> Iterator[str]:
    """Yield where Debian keeps the libraries of each architecture."""
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - pathlib alone costs more than all of this
            if _MULTIARCH in name:
                yield f"{folder}/{name}"
