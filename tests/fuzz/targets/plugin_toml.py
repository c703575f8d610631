"""The plugin's configuration: read from a file, and what it offers of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.stage import quiet, sample
from vfioctl.plugin.config import load
from vfioctl.plugin.decisions import Decisions, View
from vfioctl.plugin.sight import Sight

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.target import Run

WORDS = (
    "[[resource]]",
    "[plugin]",
    '"""',
    "=",
    "1e07",
    "inf",
    "[",
    "{",
    "1979-05-27",
    "0x",
    "\\u0000",
    "select",
)


def prepare(place: Path) -> Run:
    """Offer what a configuration says of a host."""
    host, path = sample(), place / "plugin.toml"
    quiet()
    view = View(host, Sight(usb=(), has_node=lambda _path: True))

    def run(data: bytes) -> None:
        path.write_bytes(data)
        decisions = Decisions(load(str(path)))
        for offer in decisions.judge(view)[0]:
            decisions.allocate(offer, tuple(item.id for item in offer.items[:2]))

    return run
