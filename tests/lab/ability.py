"""Whether this machine can run the lab, and if not, every reason."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab import packages
from tests.lab.errors import LabUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOLS: Final = ("apt-get", "apt-cache", "dpkg-deb", "tar")
MEMORY_MIB: Final = 3500
"""Two guests side by side, the largest with 1280 MiB, and what runs beside them."""
DISK_MIB: Final = 1500
"""Archives, unpacked QEMU and guest, initramfs archives and one run."""


def obstacles(cache: Path) -> Iterator[str]:
    """Give what keeps this machine from running the lab, one sentence each."""
    if platform.machine() != "x86_64":
        yield f"the guests are x86_64, this machine is {platform.machine()}"
    for tool in TOOLS:
        if shutil.which(tool) is None:
            yield f"{tool} is missing: the lab is made from Debian packages"
    try:
        packages.debian_source(Path("/etc/apt"))
    except LabUnavailableError as error:
        yield str(error)
    if (memory := available_memory()) < MEMORY_MIB:
        yield f"{memory} MiB of memory are available, {MEMORY_MIB} are needed"
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free >> 20
    if free < DISK_MIB and not (cache / "guest.cpio").exists():
        yield f"{free} MiB are free for the cache, {DISK_MIB} are needed"


def available_memory() -> int:
    """Give the memory that is free for use, in MiB."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 10
    return 0
