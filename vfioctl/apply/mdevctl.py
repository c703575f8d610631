"""Mediated devices handed to mdevctl, where it is installed: libvirt too looks at what it has defined."""

from __future__ import annotations

from vfioctl.apply.kernel import environment
from vfioctl.errors import VfioctlError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.plan.mdevctl import Definition


def is_installed() -> bool:
    """Tell whether mdevctl can be called."""
    from shutil import which

    return which("mdevctl", path=environment()["PATH"]) is not None


def define(wanted: Iterable[Definition]) -> None:
    """Have mdevctl start these at every boot: all of them, or none.

    Raises:
        VfioctlError: it has said no; what it was told before is taken back.

    """
    new: list[Definition] = []
    for one in wanted:
        said = _run(one.command)
        if said is not None:
            for other in reversed(new):
                _run(other.undo)
            raise VfioctlError(
                f"mdevctl does not take {one.uuid}: {said}", hint=f"try it yourself: {' '.join(one.command)}"
            )
        new.append(one)


def _run(command: Iterable[str]) -> str | None:
    """Run it; returns what it said where it failed."""
    import subprocess

    ended = subprocess.run(
        list(command), stdin=subprocess.DEVNULL, capture_output=True, env=environment(), check=False
    )
    if ended.returncode == 0:
        return None
    said = (ended.stderr or ended.stdout).decode("utf-8", "backslashreplace").strip()
    return said or f"it ended with {ended.returncode}"
