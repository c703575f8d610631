"""Fetch libvirt's schemas that this system does not have, for the tests: python -m tools.libvirt_schemas.

They come out of Debian's packages, from the archive that the system's own apt sources name, into
build/libvirt-schemas/RELEASE; they are never committed. What cannot be fetched is said, and its tests skip.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.lab.errors import LabUnavailableError
from tests.lab.packages import Apt, debian_source
from tools.generated import PROJECT

SCHEMAS: Final = PROJECT / "build" / "libvirt-schemas"
"""One folder per release, with domain.rng and what it includes."""

SUITES: Final = ("bookworm-backports", "forky")
"""Where releases are that differ from each other in what the command can ask for."""

PACKAGE: Final = "libvirt-common"
_INSIDE: Final = "usr/share/libvirt/schemas"
_RELEASE: Final = re.compile(r"\d+\.\d+\.\d+")


def main() -> int:
    """Fetch what is missing; never fail, since without it some tests merely skip."""
    missing = [suite for suite in SUITES if not (SCHEMAS / f".{suite}").exists()]
    try:
        for suite in missing:
            print(f"libvirt's schema for the tests: {fetch(suite)} (Debian {suite})")
    except (LabUnavailableError, OSError, subprocess.SubprocessError) as problem:
        text = " ".join(str(problem).split())[-200:]
        print(f"no schemas of newer libvirt, so some tests will skip: {text}", file=sys.stderr)
    return 0


def fetch(suite: str) -> str:
    """Unpack the schemas of one suite's libvirt and return its release."""
    with tempfile.TemporaryDirectory(prefix="libvirt-schemas-") as folder:
        apt = Apt(Path(folder))
        source = debian_source(Path("/etc/apt"))
        lines = ["Types: deb", f"URIs: {source.uris}", f"Suites: {suite}", "Components: main"]
        lines += [f"Signed-By: {source.signed_by}"] if source.signed_by else []
        for name in ("state/lists/partial", "cache/archives/partial", "archives"):
            (apt.folder / name).mkdir(parents=True)
        (apt.folder / "status").write_text("", encoding="utf-8")
        (apt.folder / "lab.sources").write_text("\n".join(lines) + "\n", encoding="utf-8")
        _run(["apt-get", *apt.options(), "update", "-q"], apt.folder)
        _run(["apt-get", *apt.options(), "download", "-q", PACKAGE], apt.folder)
        archive = next(apt.folder.glob(f"{PACKAGE}_*.deb"))
        release = _RELEASE.search(archive.name)
        if release is None:
            message = f"{archive.name} names no release"
            raise LabUnavailableError(message)
        _run(["dpkg-deb", "-x", str(archive), str(apt.folder / "tree")], apt.folder)
        target = SCHEMAS / release[0]
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(apt.folder / "tree" / _INSIDE, target)
        (SCHEMAS / f".{suite}").touch()
        return release[0]


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    if done.returncode:
        message = f"{command[0]}: {done.stderr.strip()}"
        raise LabUnavailableError(message)


if __name__ == "__main__":
    sys.exit(main())
