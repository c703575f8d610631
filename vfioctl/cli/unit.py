"""The units that run parts of this under systemd, made to fit this installation."""

from __future__ import annotations

import os
import shutil
import sys

from vfioctl.cli.session import writing

SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
"""Where systemd looks for a program that is named without a folder."""

PLUGIN = "vfioctl-plugin.service"
CDI = "vfioctl-cdi.service"

HOMES = ("/home/", "/root/", "/run/user/")
"""What ProtectHome=yes hides from a service."""

_NAMED = "ExecStart=vfioctl "
_HIDDEN, _SEEN = "ProtectHome=yes", "ProtectHome=read-only"


def unit_path(name: str) -> str:
    """Return where a unit is kept in this package."""
    return os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", name)  # noqa: PTH118, PTH120 - of a text


def unit_text(name: str, program: str) -> str:
    """Return a unit for a program; if that lies in a home, its service may read homes."""
    with open(unit_path(name), encoding="utf-8") as file:  # noqa: PTH123 - one call
        text = file.read().replace(_NAMED, f"ExecStart={program} ", 1)
    return text.replace(_HIDDEN, _SEEN, 1) if program.startswith(HOMES) else text


def print_unit(name: str) -> None:
    """Print a unit to stdout; a vfioctl that systemd would not find by itself is named by its path."""
    with writing():
        sys.stdout.write(unit_text(name, program()))


def program() -> str:
    """Return what systemd must be told to run this very program."""
    own = os.path.join(os.path.dirname(sys.executable), "vfioctl")  # noqa: PTH118, PTH120 - beside the interpreter, links not followed
    found = shutil.which("vfioctl", path=SEARCHED)
    if found is not None and (found == own or not os.access(own, os.X_OK)):
        return "vfioctl"
    return own if os.access(own, os.X_OK) else f"{sys.executable} -m vfioctl"
