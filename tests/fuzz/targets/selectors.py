"""Selectors: parsed, spelled anew, held against a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.stage import sample
from vfioctl.model.selector import Selector, select

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.target import Run

SEEDS = (
    *("0000:65:00.0", "65:00.*", "0000:65:*", "10de:2204", "10de:*", "10de:2204:1043:87d9", "class:0302"),
    *(
        "class:gpu",
        "driver:none",
        "group:17",
        "numa:0",
        "slot:3",
        "under:00:01.0",
        "net:enp1s0",
        "block:nvme0n1",
    ),
    *("vfs-of:65:00.0#0-3,5", "vfs-of:enp1s0#0-3,5", "mdev:83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"),
    *("usb:046d:c52b", "usb:1-2.5", "class:nic,numa:0,driver:vfio-pci", "[0-9]:*", "10000:e1:00.0"),
)
WORDS = (
    "class:",
    "driver:",
    "group:",
    "numa:",
    "slot:",
    "under:",
    "net:",
    "vfs-of:",
    "mdev:",
    "usb:",
    "*",
    "#",
    ",",
)


def prepare(place: Path) -> Run:
    """Match against a host with a bit of everything."""
    del place
    host = sample()

    def run(data: bytes) -> None:
        select(host, [Selector.parse(data.decode("utf-8", "surrogateescape"))])

    return run
