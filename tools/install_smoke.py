"""Install as a stranger does, elsewhere, and have units printed there: python -m tools.install_smoke.

From the source archive, with pipx and in an environment of its own; in folders that are gone afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.generated import PROJECT
from vfioctl import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS: Final = {
    "vfioctl-plugin.service": ("serve-plugin", "--print-unit"),
    "vfioctl-cdi.service": ("cdi", "generate", "--print-unit"),
}


def main() -> int:
    """Return 1 and say what is wrong with an installation, or 0."""
    with tempfile.TemporaryDirectory(prefix="vfioctl-install-") as folder:
        base = Path(folder)
        source = _source_archive(base)
        problems = list(_incomplete(source))
        for way, program in (("an environment", _environment(base, source)), ("pipx", _pipx(base, source))):
            problems += [f"{way}: {problem}" for problem in _problems(program, base)]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not problems:
        print(f"{source.name}: installs with pipx and in an environment, and prints units that name it")
    return 1 if problems else 0


def _source_archive(base: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(base)]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    return base / f"vfioctl-{__version__}.tar.gz"


def _incomplete(source: Path) -> Iterator[str]:
    """Yield what one needs to build, test and package from the archive, and what it lacks."""
    with tarfile.open(source) as archive:
        names = archive.getnames()
    for name in (
        "Makefile",
        "tools/deb.py",
        "packaging/debian/control",
        "tests/conftest.py",
        "man/vfioctl.8",
    ):
        if f"vfioctl-{__version__}/{name}" not in names:
            yield f"the source archive lacks {name}"


def _environment(base: Path, source: Path) -> Path:
    """Return the program of an environment as one makes it below /opt."""
    place = base / "opt" / "vfioctl"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    subprocess.run([str(place / "bin" / "pip"), "install", "-qq", str(source)], check=True)
    return place / "bin" / "vfioctl"


def _pipx(base: Path, source: Path) -> Path:
    """Return the program that pipx gives to its user: a link."""
    own = base / "pipx"
    subprocess.run([sys.executable, "-m", "venv", str(own)], check=True)
    subprocess.run([str(own / "bin" / "pip"), "install", "-qq", "pipx"], check=True)
    places = {"PIPX_HOME": base / "home", "PIPX_BIN_DIR": base / "bin", "PIPX_MAN_DIR": base / "man"}
    variables = {**os.environ, **{name: str(place) for name, place in places.items()}}
    command = [str(own / "bin" / "pipx"), "install", "--python", sys.executable, str(source)]
    subprocess.run(command, env=variables, check=True, capture_output=True)
    return base / "bin" / "vfioctl"


def _problems(program: Path, base: Path) -> Iterator[str]:
    """Yield what an installed program does not do."""
    real = program.resolve()
    shown = subprocess.run(
        [program, "--root", "sample", "scan"], cwd=base, capture_output=True, text=True, check=False
    )
    if shown.returncode or "0000:01:00.0" not in shown.stdout:
        yield f"scan of the sample host: exit {shown.returncode}: {shown.stderr.strip()}"
    for name, words in UNITS.items():
        printed = subprocess.run(
            [program, *words], cwd=base, capture_output=True, text=True, check=True
        ).stdout
        if f"\nExecStart={real} " not in printed:
            yield f"{name} does not start {real}"
        unit = base / name
        unit.write_text(printed, encoding="utf-8")
        yield from _of_systemd(unit)
        if not (real.parent.parent / "lib" / "systemd" / "system" / name).is_file():
            yield f"{name} is not installed beside it"


def _of_systemd(unit: Path) -> list[str]:
    if shutil.which("systemd-analyze") is None:
        return []
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    return [line for line in said.splitlines() if "vfioctl" in line]


if __name__ == "__main__":
    sys.exit(main())
