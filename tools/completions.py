"""Write the completion scripts: python -m tools.completions [--check]."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from tools.generated import PROJECT, run
from vfioctl.cli.shells import SHELLS, completion_script

if TYPE_CHECKING:
    from pathlib import Path

FILES: Final = {"bash": "vfioctl.bash", "zsh": "_vfioctl", "fish": "vfioctl.fish"}
"""What each shell's script is called in completions/."""


def completion_files() -> dict[Path, str]:
    """Return every script under the path it is committed at."""
    return {PROJECT / "completions" / FILES[shell]: completion_script(shell) for shell in SHELLS}


if __name__ == "__main__":
    sys.exit(run("tools.completions", completion_files(), folder="completions"))
