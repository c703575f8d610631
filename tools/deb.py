"""Make dist/vfioctl_VERSION_ARCH.deb from the wheel's content: python -m tools.deb [--check].

No debhelper and no root: a tree is laid out and dpkg-deb packs it. Packages of Debian 12 are too old for what
pyproject.toml asks for (click 8.1, grpcio 1.51, protobuf 3.21 ...), so the libraries are in the package, in a
folder of its own: the very versions that the development environment has, which is what the tests ran with.
Compiled parts of them fit one minor version of Python, and so does the package: Debian 12's, or --python.

Two runs give the same bytes; --check makes it twice and compares. What lintian finds, and is meant so, stands
with its reason in packaging/debian/lintian-overrides.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.deb_libraries import Library, bundled, fetch, licences
from tools.generated import PROJECT
from tools.man import release_date
from vfioctl import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

REVISION: Final = "1"
VERSION: Final = f"{__version__}-{REVISION}"
PYTHON: Final = "3.11"
"""Debian 12's."""

PARTS: Final = PROJECT / "packaging" / "debian"
LIBRARIES: Final = Path("usr/lib/vfioctl")
"""What the package's program imports from: vfioctl itself, and all that it needs."""

_LIBC: Final = "2.28"
"""Of manylinux_2_28, the newest that the wheels are taken for."""

_SCRIPTS: Final = ("postinst", "prerm", "postrm")
_DOCUMENTS: Final = Path("usr/share/doc/vfioctl")
_PLACES: Final = {
    "share/man/man8/": "usr/share/man/man8/",
    "share/bash-completion/completions/": "usr/share/bash-completion/completions/",
    "share/zsh/site-functions/": "usr/share/zsh/vendor-completions/",
    "share/fish/vendor_completions.d/": "usr/share/fish/vendor_completions.d/",
    "lib/systemd/system/": "lib/systemd/system/",
}
"""Where the wheel has shared files, and where Debian looks for them."""


def main() -> int:
    """Make the package, or make it twice and compare."""
    parser = argparse.ArgumentParser(prog="python -m tools.deb", allow_abbrev=False)
    parser.add_argument("--output", type=Path, default=PROJECT / "dist", help="default: dist")
    parser.add_argument("--python", default=PYTHON, help=f"minor version that it is for (default: {PYTHON})")
    parser.add_argument("--check", action="store_true", help="make it twice elsewhere, and compare")
    options = parser.parse_args()
    if shutil.which("dpkg-deb") is None:
        print("error: there is no dpkg-deb\nhint: apt-get install dpkg", file=sys.stderr)
        return 5
    if options.check:
        return _check(options.python)
    options.output.mkdir(parents=True, exist_ok=True)
    print(make(options.output, options.python))
    return 0


def make(output: Path, python: str = PYTHON, *, fetched: Path | None = None, pressed: str = "xz") -> Path:
    """Return the package, made in a folder; its libraries may have been fetched already."""
    with tempfile.TemporaryDirectory(prefix="vfioctl-deb-") as name:
        base = Path(name)
        tree = base / "tree"
        libraries = bundled()
        _lay_out_wheel(_wheel(base), tree)
        if fetched is None:
            fetched = base / "libraries"
            fetch(libraries, fetched, python)
        shutil.copytree(fetched, tree / LIBRARIES, dirs_exist_ok=True)
        _lay_out_documents(tree, libraries)
        _lay_out_control(tree, python)
        _settle(tree)
        package = output / f"vfioctl_{VERSION}_{architecture()}.deb"
        pack = ["dpkg-deb", "--root-owner-group", f"-Z{pressed}", "--build", str(tree), str(package)]
        # xz cuts its input by the number of threads, which would show in the bytes.
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch()), "DPKG_DEB_THREADS_MAX": "1"}
        subprocess.run(pack, check=True, env=environment, stdout=subprocess.DEVNULL)
    return package


def epoch() -> int:
    """Return the one time that is written anywhere: as asked for, else the date of the release."""
    named = os.environ.get("SOURCE_DATE_EPOCH")
    return int(named) if named else int(_released().timestamp())


def architecture() -> str:
    """Return this machine's architecture, as Debian names it."""
    command = ["dpkg", "--print-architecture"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _released() -> datetime:
    day = release_date((PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"))
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def _wheel(base: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(base), str(PROJECT)], check=True)
    return next(base.glob("vfioctl-*.whl"))


def _lay_out_wheel(wheel: Path, tree: Path) -> None:
    """Put everything of the wheel where Debian has it."""
    data = f"vfioctl-{__version__}.data/data/"
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not name.endswith("/"):
                _write(tree / _place(name, data), archive.read(name))


def _place(name: str, data: str) -> Path:
    if not name.startswith(data):
        return LIBRARIES / name
    shared = name.removeprefix(data)
    return Path(next(to + shared.removeprefix(at) for at, to in _PLACES.items() if shared.startswith(at)))


def _lay_out_documents(tree: Path, libraries: tuple[Library, ...]) -> None:
    for page in sorted((tree / "usr/share/man/man8").iterdir()):
        _compress(page.with_name(page.name + ".gz"), page.read_bytes())
        page.unlink()
    _write(tree / "usr/bin/vfioctl", (PARTS / "vfioctl").read_bytes())
    _compress(tree / _DOCUMENTS / "changelog.gz", (PROJECT / "CHANGELOG.md").read_bytes())
    _compress(tree / _DOCUMENTS / "changelog.Debian.gz", _debian_changelog().encode())
    copyright_text = (PARTS / "copyright").read_text(encoding="utf-8") + licences(libraries, tree / LIBRARIES)
    _write(tree / _DOCUMENTS / "copyright", copyright_text.encode())
    _write(tree / "usr/share/lintian/overrides/vfioctl", (PARTS / "lintian-overrides").read_bytes())


def _debian_changelog() -> str:
    maintainer = next(
        line for line in (PARTS / "control").read_text(encoding="utf-8").splitlines() if "Maintainer" in line
    ).partition(": ")[2]
    date = _released().strftime("%a, %d %b %Y %H:%M:%S +0000")
    entry = f"  * What is new stands in changelog.gz.\n\n -- {maintainer}  {date}\n"
    return f"vfioctl ({VERSION}) unstable; urgency=medium\n\n{entry}"


def _lay_out_control(tree: Path, python: str) -> None:
    control = tree / "DEBIAN"
    for name in _SCRIPTS:
        _write(control / name, (PARTS / name).read_bytes())
    files = list(_files(tree))
    sums = (
        f"{hashlib.md5((tree / name).read_bytes(), usedforsecurity=False).hexdigest()}  {name}\n"
        for name in files
    )
    _write(control / "md5sums", "".join(sums).encode())
    major, _, minor = python.partition(".")
    text = (PARTS / "control").read_text(encoding="utf-8")
    filled = text.format(
        version=VERSION,
        architecture=architecture(),
        size=sum(-(-(tree / name).stat().st_size // 1024) for name in files),
        python=python,
        next_python=f"{major}.{int(minor) + 1}",
        libc=_LIBC,
    )
    _write(control / "control", filled.encode())


def _files(tree: Path) -> Iterator[str]:
    """Yield every file that is installed, in one order everywhere."""
    found = (path for path in tree.rglob("*") if path.is_file() and path.parts[len(tree.parts)] != "DEBIAN")
    yield from sorted(str(path.relative_to(tree)) for path in found)


def _settle(tree: Path) -> None:
    """Give everything the mode that it should have, whatever the umask, and the one time."""
    programs = {tree / "usr/bin/vfioctl", *(tree / "DEBIAN" / name for name in _SCRIPTS)}
    for path in sorted([tree, *tree.rglob("*")], reverse=True):
        path.chmod(0o755 if path.is_dir() or path in programs else 0o644)
        os.utime(path, (epoch(), epoch()))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _compress(path: Path, data: bytes) -> None:
    _write(path, gzip.compress(data, 9, mtime=0))


def _check(python: str) -> int:
    with tempfile.TemporaryDirectory(prefix="vfioctl-debs-") as name:
        one, other = (make(_folder(Path(name) / which), python) for which in ("one", "other"))
        if one.read_bytes() != other.read_bytes():
            print("error: two runs gave different packages", file=sys.stderr)
            return 1
        print(f"{one.name}: {one.stat().st_size} bytes, twice the same")
    return 0


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


if __name__ == "__main__":
    sys.exit(main())
