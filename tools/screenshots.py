"""Write docs/images/*.svg, what the commands print on the sample host: python -m tools.screenshots [--check].

The program itself runs, as on a terminal of 100 columns; rich turns the coloured text into a picture.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import StringIO
from typing import TYPE_CHECKING, Final

from tools.generated import PROJECT, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS: Final = 100
"""How wide the pictured terminal is."""

SCREENS: Final = {"scan": ("scan",), "groups": ("groups",)}
"""The picture's name and what is typed behind `vfioctl --root sample`."""


def screenshots() -> dict[Path, str]:
    """Return every picture under the path it is committed at."""
    return {
        PROJECT / "docs" / "images" / f"{name}.svg": screenshot(name, arguments)
        for name, arguments in SCREENS.items()
    }


def screenshot(name: str, arguments: Sequence[str]) -> str:
    """Return one picture, the same for the same output."""
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console
    from rich.text import Text

    console = Console(
        record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text(f"$ vfioctl --root sample {' '.join(arguments)}"), highlight=False)
    console.print(Text.from_ansi(printed(arguments)), highlight=False, soft_wrap=True)
    # A picture in a repository fetches no font from elsewhere: the reader's own monospace does.
    alone = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg = console.export_svg(
        title=f"vfioctl {' '.join(arguments)}", unique_id=f"vfioctl-{name}", code_format=alone
    )
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def printed(arguments: Sequence[str]) -> str:
    """Return what the command prints on a terminal, colours included."""
    variables = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    variables |= {"COLUMNS": str(COLUMNS), "LINES": "50", "TERM": "xterm-256color"}
    command = [
        sys.executable,
        "-m",
        "vfioctl",
        "--root",
        "sample",
        "--output",
        "table",
        "--color",
        *arguments,
    ]
    ended = subprocess.run(command, cwd=PROJECT, env=variables, capture_output=True, text=True, check=True)
    return ended.stdout


if __name__ == "__main__":
    sys.exit(run("tools.screenshots", screenshots(), folder="docs/images"))
