"""Write docs/images/*.svg, what the commands print on the sample host: python -m tools.screenshots [--check].

The program itself runs, as on a terminal of 100 columns; rich turns the coloured text into a picture.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Final

from tools.generated import PROJECT, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS: Final = 100
"""How wide the pictured terminal is."""

SCREENS: Final = {"scan": ("scan",), "groups": ("groups", "class:gpu", "00:1f.3", "07:04.0")}
"""The picture's name and what is typed behind `vfioctl --root sample`."""


def screenshots() -> dict[Path, str]:
    """Return every picture under the path it is committed at."""
    return {
        PROJECT / "docs" / "images" / f"{name}.svg": screenshot(name, arguments)
        for name, arguments in SCREENS.items()
    }


def screenshot(name: str, arguments: Sequence[str]) -> str:
    """Return one picture, the same for the same output."""
    from rich.console import Console
    from rich.text import Text

    console = Console(
        record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text(f"$ vfioctl --root sample {' '.join(arguments)}"), highlight=False)
    console.print(Text.from_ansi(printed(arguments)), highlight=False, soft_wrap=True)
    svg = console.export_svg(title=f"vfioctl {name}", unique_id=f"vfioctl-{name}")
    # A picture in a repository fetches no font from elsewhere: the reader's own monospace does.
    alone = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in alone.splitlines()) + "\n"


def printed(arguments: Sequence[str], color: str = "--color") -> str:
    """Return what the command prints on a terminal, colours included unless told otherwise."""
    from vfioctl.cli.session import Session
    from vfioctl.cli.tree import root
    from vfioctl.sysfs.names import Names, load_names

    class Pictured(Session):
        """A session whose names come from the packaged database, whatever this system has."""

        def names(self) -> Names:
            """Open the packaged database."""
            return load_names(())

    out = StringIO()
    typed = ["--root", "sample", "--output", "table", color, *arguments]
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(COLUMNS)
    try:
        with redirect_stdout(out):
            root.main(typed, prog_name="vfioctl", obj=Pictured(), standalone_mode=False)
    finally:
        os.environ.pop("COLUMNS")
        os.environ |= {"COLUMNS": before} if before is not None else {}
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(run("tools.screenshots", screenshots(), folder="docs/images"))
