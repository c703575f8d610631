"""Every name of the pci.ids database goes through the renderers unaltered."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.text import Text

from tests.render.machines import device, host
from vfioctl.render.columns import Column, lay_out
from vfioctl.render.scan import View, scan_lines
from vfioctl.render.styled import plain_text
from vfioctl.render.terminal import print_colored
from vfioctl.sysfs.names import Names
from vfioctl.sysfs.root import PCI_IDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.render.styled import Line

TRAPS = [
    "[ext gfx]",
    "[/y]",
    "[dv6-1190en]",
    "0000:01:00.0 :cd: x",
    "[bold]no[/bold]",
    "\\[red]",
    "100% {x} %s",
]
"""What rich takes for markup or emoji unless it is told not to."""


def every_name() -> list[str]:
    """Return the names of this system's database, or of the packaged one; and the traps."""
    packaged = Path(Names.__module__.replace(".", "/")).parent.parent / "data" / "pci.ids.gz"
    for path in (*map(Path, PCI_IDS), packaged):
        if path.is_file():
            content = path.read_bytes()
            text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
            lines = [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]
            return [line.partition("  ")[2] for line in lines] + TRAPS
    pytest.skip("no pci.ids on this system")


def in_colour(lines: Iterator[Line]) -> list[str]:
    """Print lines in colour and return what is to be read of it."""
    stream = io.StringIO()
    print_colored(lines, stream)
    return stream.getvalue().splitlines()


@pytest.mark.no_cover
def test_no_name_is_altered_by_the_table() -> None:
    """Not by markup, not by emoji, not by wrapping; every letter of every name."""
    names = [name for name in every_name() if name]
    assert len(names) > 10_000

    lines = lay_out([Column("NAME")], [(name,) for name in names], styles=[["warn"]] * len(names))
    shown = [line.removeprefix("\x1b[33m").removesuffix("\x1b[0m") for line in in_colour(lines)]

    assert shown[1:] == names


@pytest.mark.no_cover
def test_no_name_is_altered_in_plain_text() -> None:
    """The pipe gets them whole."""
    names = [name for name in every_name() if name]

    assert plain_text(lay_out([Column("NAME")], [(name,) for name in names])).splitlines()[1:] == names


@pytest.mark.parametrize("name", TRAPS)
def test_a_devices_name_is_no_markup(name: str) -> None:
    """All the way from the database to the screen."""
    names = Names(f"10de  {name}\n\t2204  {name}\n".encode())
    machine = host((device("01:00.0", "10de:2204"),))

    screen = in_colour(scan_lines(machine, machine.devices, names, View(200, colored=True)))

    assert Text.from_ansi(screen[1]).plain.endswith(f"  {name}")
