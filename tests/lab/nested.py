"""What a guest runs to host others: QEMU, libvirt, Podman, systemd, each with what the guest lacks for it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab import cpio, packages, recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.lab.ingredients import Cache

LIBRARIES: Final = Path("usr/lib/x86_64-linux-gnu")


def make_virtual_machine(cache: Cache) -> None:
    """Archive QEMU for the inside of a guest: the program, the libraries the guest lacks, its firmware."""
    entries = list(_with_libraries(cache, cache.qemu, [recipe.VIRTUAL_MACHINE]))
    entries.append(cpio.folder_entry("usr/share/seabios"))
    for name in recipe.FIRMWARE:
        firmware = cache.qemu / "usr/share/seabios" / name
        entries.append(cpio.file_entry(f"usr/share/seabios/{name}", firmware.read_bytes()))
    _write(cache.virtual_machine_archive, entries)


def make_libvirt(cache: Cache, apt: packages.Apt) -> None:
    """Fetch libvirt and archive what of it a guest with a QEMU of its own needs."""
    shutil.rmtree(cache.libvirt, ignore_errors=True)
    there = {*apt.resolve(recipe.GUEST_PACKAGES), *recipe.NOT_NEEDED}
    resolved = apt.resolve(recipe.LIBVIRT_PACKAGES)
    chosen = {name: version for name, version in resolved.items() if name not in there}
    packages.unpack(apt.download(chosen), cache.libvirt)
    entries = list(_with_libraries(cache, cache.libvirt, recipe.LIBVIRT_PROGRAMS))
    for name in recipe.LIBVIRT_DATA:
        entries += cpio.tree_entries(cache.libvirt / name, name)
    _write(cache.libvirt_archive, entries)


def make_containers(cache: Cache, apt: packages.Apt) -> None:
    """Fetch and archive a container runtime."""
    shutil.rmtree(cache.containers, ignore_errors=True)
    packages.unpack(apt.download(dict.fromkeys(recipe.CONTAINER_PACKAGES, "")), cache.containers)
    packages.strip(cache.containers, recipe.STRIPPED)
    _write(cache.containers_archive, cpio.tree_entries(cache.containers))


def make_services(cache: Cache, apt: packages.Apt) -> None:
    """Fetch systemd and archive what of it the guest's own packages do not bring."""
    folder = cache.folder / "services"
    shutil.rmtree(folder, ignore_errors=True)
    there = {*apt.resolve(recipe.GUEST_PACKAGES), *recipe.NOT_NEEDED}
    wanted = apt.resolve((*recipe.GUEST_PACKAGES, *recipe.SERVICE_PACKAGES))
    packages.unpack(apt.download({name: wanted[name] for name in wanted if name not in there}), folder)
    packages.strip(folder, recipe.SERVICE_STRIPPED)
    _write(cache.services_archive, cpio.tree_entries(folder))


def _with_libraries(cache: Cache, root: Path, programs: Iterable[str]) -> Iterator[cpio.Entry]:
    """Give programs of an unpacked root, and those libraries they need that the guest's root lacks."""
    programs = list(programs)
    names = {name for program in programs for name in _needed(cache, root, program)}
    lacking = sorted(name for name in names if not (cache.guest / LIBRARIES / name).exists())
    wanted = [*programs, *(str(LIBRARIES / name) for name in lacking)]
    folders = {str(parent) for name in wanted for parent in Path(name).parents} - {"."}
    yield from map(cpio.folder_entry, sorted(folders))
    for name in wanted:
        yield from files(root, name)


def files(root: Path, name: str) -> Iterator[cpio.Entry]:
    """Give what a name of an unpacked root stands for: a file, or the link of a library and its file."""
    path = root / name
    if path.is_symlink():
        yield cpio.Entry(name, stat.S_IFLNK | 0o777, os.fsencode(path.readlink()))
        name = str(Path(name).parent / path.readlink())
    yield cpio.file_entry(name, path.read_bytes(), 0o755)


def _needed(cache: Cache, root: Path, program: str) -> set[str]:
    """Give the names of the libraries that a program is linked with, as the loader finds them."""
    loader, *_ = packages.foreign_command(cache.guest, program)
    folders = ":".join(str(one / LIBRARIES) for one in (root, cache.guest))
    command = [loader, "--library-path", folders, "--list", str(root / program)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return {Path(line.split()[0]).name for line in listed.stdout.splitlines() if "=>" in line}


def _write(path: Path, entries: Iterable[cpio.Entry]) -> None:
    with path.open("wb") as stream:
        cpio.write_archive(stream, entries)
