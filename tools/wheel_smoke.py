"""Build the wheel, install it where no development tool is, and use it: python -m tools.wheel_smoke."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from tools.completions import FILES
from tools.generated import PROJECT
from vfioctl import __version__

_INSTALLED: Final = {
    "bash": "share/bash-completion/completions/vfioctl",
    "zsh": "share/zsh/site-functions/_vfioctl",
    "fish": "share/fish/vendor_completions.d/vfioctl.fish",
}

_UNITS: Final = ("vfioctl-cdi.service", "vfioctl-plugin.service")


def main() -> int:
    """Return 1 and say what is wrong with the installed wheel, or 0."""
    with tempfile.TemporaryDirectory(prefix="vfioctl-wheel-") as folder:
        base = Path(folder)
        wheel = _build(base)
        problems = _foreign(wheel)
        environment = _install(base, wheel)
        problems += [*_shared_files(environment), *_use(environment, base)]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not problems:
        print(f"{wheel.name}: installs alone, answers, brings man pages, completions and units")
    return 1 if problems else 0


def _build(base: Path) -> Path:
    """Return the wheel of this checkout."""
    pip = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(base), str(PROJECT)], check=True)
    return next(base.glob("vfioctl-*.whl"))


def _install(base: Path, wheel: Path) -> Path:
    """Return a fresh environment that holds the wheel and what it asks for, and nothing else."""
    environment = base / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "-qq", str(wheel)], check=True
    )
    return environment


def _foreign(wheel: Path) -> list[str]:
    """Return what the wheel carries besides the package and the shared files."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    inside = ("vfioctl/", f"vfioctl-{__version__}.dist-info/", f"vfioctl-{__version__}.data/")
    return [f"the wheel carries {name}" for name in names if not name.startswith(inside)]


def _shared_files(environment: Path) -> list[str]:
    """Return the man pages, completion scripts and units that were not installed as they are committed."""
    wanted = {f"share/man/man8/{page.name}": page for page in sorted((PROJECT / "man").iterdir())}
    wanted |= {place: PROJECT / "completions" / FILES[shell] for shell, place in _INSTALLED.items()}
    wanted |= {f"lib/systemd/system/{name}": PROJECT / "vfioctl" / "data" / name for name in _UNITS}
    return [
        f"{place} is not installed"
        for place, source in wanted.items()
        if not (environment / place).is_file() or (environment / place).read_bytes() != source.read_bytes()
    ]


def _use(environment: Path, base: Path) -> list[str]:
    """Return what the installed program did not answer."""
    program = str(environment / "bin" / "vfioctl")
    variables = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(base), "LC_ALL": "C.UTF-8"}
    problems: list[str] = []
    outputs: dict[str, str] = {}
    for arguments in ("--version", "-h", "--root sample scan --json", "--root sample groups"):
        ended = subprocess.run(
            [program, *arguments.split()],
            cwd=base,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        outputs[arguments] = ended.stdout
        if ended.returncode != 0:
            problems.append(f"vfioctl {arguments}: exit {ended.returncode}: {ended.stderr.strip()}")
    if problems:
        return problems
    if __version__ not in outputs["--version"]:
        problems.append(f"vfioctl --version says {outputs['--version']!r}, not {__version__}")
    if not json.loads(outputs["--root sample scan --json"])["devices"]:
        problems.append("the embedded sample host has no device")
    return problems


if __name__ == "__main__":
    sys.exit(main())
