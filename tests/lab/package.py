"""The Debian package for a guest that has systemd: made of the checkout, beside a dpkg that installs it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.lab import cpio, packages, recipe
from tools import deb, deb_libraries

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.ingredients import Cache


def tools_recipe() -> str:
    """Tell what the archive of dpkg is made of."""
    return "\n".join(
        (*recipe.PACKAGE_PACKAGES, *recipe.SERVICE_PACKAGES, *recipe.GUEST_PACKAGES, *recipe.STRIPPED)
    )


def make_tools(cache: Cache, apt: packages.Apt) -> None:
    """Fetch dpkg, and archive what of it neither the guest nor its systemd brings."""
    folder = cache.folder / "package-tools"
    shutil.rmtree(folder, ignore_errors=True)
    there = apt.resolve((*recipe.GUEST_PACKAGES, *recipe.SERVICE_PACKAGES))
    wanted = apt.resolve((*recipe.GUEST_PACKAGES, *recipe.SERVICE_PACKAGES, *recipe.PACKAGE_PACKAGES))
    lacking = {*wanted} - {*there} - recipe.NOT_NEEDED | {*recipe.PACKAGE_PACKAGES}
    packages.unpack(apt.download({name: wanted[name] for name in sorted(lacking)}), folder)
    packages.strip(folder, recipe.STRIPPED)
    with cache.package_tools_archive.open("wb") as stream:
        cpio.write_archive(stream, cpio.tree_entries(folder))


def libraries_recipe() -> str:
    """Tell which libraries the package has."""
    return "\n".join(f"{one.name}=={one.version}" for one in deb_libraries.bundled())


def fetch_libraries(cache: Cache) -> None:
    """Fetch them once; later packages are made without a network."""
    shutil.rmtree(cache.package_libraries, ignore_errors=True)
    deb_libraries.fetch(deb_libraries.bundled(), cache.package_libraries, deb.PYTHON)


def archive(cache: Cache, folder: Path) -> Path:
    """Return an archive with the package, made of the checkout as it is."""
    made = deb.make(folder, fetched=cache.package_libraries, pressed="none")
    path = folder / "package.cpio"
    with path.open("wb") as stream:
        entries = [cpio.folder_entry("package"), cpio.file_entry("package/vfioctl.deb", made.read_bytes())]
        cpio.write_archive(stream, entries)
    return path
