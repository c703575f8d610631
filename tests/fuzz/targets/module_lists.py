"""modules.alias, modules.dep, modules.builtin and /proc/modules, in this order with zero bytes between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.stage import sample
from vfioctl.plan.drivers import choose
from vfioctl.sysfs.drivers import read_drivers, reduced_list
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.target import Run

_NAMES = ("modules.alias", "modules.dep", "modules.builtin")
WORDS = (
    "alias vfio_pci:",
    "v000010DE",
    "d*",
    "sv*",
    "[",
    "]",
    "*",
    "?",
    "\\",
    ".ko",
    ":",
    "\n",
    "\0",
    "-",
    "_",
)


def prepare(place: Path) -> Run:
    """Choose a driver for every device by lists that were never made by depmod."""
    release, folder = "6.12.1-fuzz", place / "lib" / "modules" / "6.12.1-fuzz"
    folder.mkdir(parents=True)
    (place / "proc" / "sys" / "kernel").mkdir(parents=True)
    (place / "proc" / "sys" / "kernel" / "osrelease").write_text(f"{release}\n")
    devices = [device for device in sample().devices if not device.is_bridge][:6]
    paths = [*(folder / name for name in _NAMES), place / "proc" / "modules"]

    def run(data: bytes) -> None:
        parts = [*data.split(b"\0", 3), b"", b"", b""]
        for path, part in zip(paths, parts, strict=False):
            path.write_bytes(part)
            reduced_list(f"/{path.relative_to(place)}", part)
        catalog = read_drivers(HostRoot(str(place)))
        for device in devices:
            choose(catalog, device, None)

    return run
