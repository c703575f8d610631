"""The unit that runs the plugin under systemd, made to fit this installation."""

from __future__ import annotations

import os
import shutil
import sys

from vfioctl.cli.session import writing

SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
"""Where systemd looks for a program that is named without a folder."""

_NAMED = "ExecStart=vfioctl "


def unit_path() -> str:
    """Return where the unit is kept in this package."""
    return os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", "vfioctl-plugin.service")  # noqa: PTH118, PTH120 - of a text


def print_unit() -> None:
    """Print the unit to stdout; a vfioctl that systemd would not find by itself is named by its path."""
    with open(unit_path(), encoding="utf-8") as file:  # noqa: PTH123 - one call
        text = file.read()
    with writing():
        sys.stdout.write(text.replace(_NAMED, f"ExecStart={program()} ", 1))


def program() -> str:
    """Return what systemd must be told to run this very program."""
    own = os.path.join(os.path.dirname(sys.executable), "vfioctl")  # noqa: PTH118, PTH120 - beside the interpreter, links not followed
    found = shutil.which("vfioctl", path=SEARCHED)
    if found is not None and (found == own or not os.access(own, os.X_OK)):
        return "vfioctl"
    return own if os.access(own, os.X_OK) else f"{sys.executable} -m vfioctl"
