"""The libraries that tools.deb packs: which ones, from where, under which licences."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from email.parser import HeaderParser
from importlib import metadata
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NOT_PACKED: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "WHEEL")
"""Of a library's metadata: what pip wants to know when it removes it again."""


class Library(NamedTuple):
    """One distribution, as the development environment has it."""

    name: str
    version: str


def bundled() -> tuple[Library, ...]:
    """Return everything that vfioctl needs to run, and what that needs, in the order of names."""
    found: dict[str, Library] = {}
    waiting = list(_needed("vfioctl"))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = Library(name, metadata.version(name))
            waiting += _needed(name)
    return tuple(found[name] for name in sorted(found))


def _needed(name: str) -> Iterator[str]:
    """Yield what a distribution always needs; what an extra or another Python needs has a marker."""
    from packaging.requirements import Requirement

    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield re.sub(r"[-_.]+", "-", requirement.name).lower()


def fetch(libraries: tuple[Library, ...], folder: Path, python: str) -> None:
    """Unpack wheels of exactly these versions into a folder, without programs and without bytecode."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-qq",
        "--no-compile",
        "--no-deps",
        "--target",
        str(folder),
    ]
    only = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    subprocess.run([*pip, *only, *(f"{one.name}=={one.version}" for one in libraries)], check=True)
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for name in _NOT_PACKED:
        for path in folder.glob(f"*.dist-info/{name}"):
            path.unlink()


def licences(libraries: tuple[Library, ...], folder: Path) -> str:
    """Return a paragraph of the copyright file for each library: its licence, and where the text is."""
    return "".join(_paragraph(one, folder) for one in libraries)


def _paragraph(library: Library, folder: Path) -> str:
    (kept,) = (
        path
        for path in folder.glob("*.dist-info")
        if re.sub(r"[-_.]+", "-", path.name.removesuffix(".dist-info").rpartition("-")[0]).lower()
        == library.name
    )
    about = HeaderParser().parsestr((kept / "METADATA").read_text(encoding="utf-8"))
    licence = about["License-Expression"] or (about["License"] or "see its texts").splitlines()[0]
    return f"\n{library.name} {library.version}: {licence}; its texts: /usr/lib/vfioctl/{kept.name}\n"
