"""What the lab is made of: QEMU, kernels and a guest root, prepared once in a cache folder."""

from __future__ import annotations

import fcntl
import lzma
import os
import shutil
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.lab import bzimage, cpio, nested, package, packages, recipe
from tests.lab.errors import LabUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CHECKOUT: Final = Path(__file__).resolve().parents[2]


class Cache(NamedTuple):
    """The folder that holds everything prepared, safe to delete at any time."""

    folder: Path

    @property
    def qemu(self) -> Path:
        """Folder of the unpacked QEMU with its libraries."""
        return self.folder / "qemu"

    @property
    def guest(self) -> Path:
        """Folder of the unpacked guest root."""
        return self.folder / "guest"

    @property
    def guest_archive(self) -> Path:
        """The guest root as an initramfs archive."""
        return self.folder / "guest.cpio"

    @property
    def virtual_machine_archive(self) -> Path:
        """What a guest needs beside its root to run a virtual machine itself, as an initramfs archive."""
        return self.folder / "virtual-machine.cpio"

    @property
    def libvirt(self) -> Path:
        """Folder of the unpacked libvirt with its libraries."""
        return self.folder / "libvirt"

    @property
    def libvirt_archive(self) -> Path:
        """What a guest with a QEMU of its own needs to run libvirt too, as an initramfs archive."""
        return self.folder / "libvirt.cpio"

    @property
    def containers(self) -> Path:
        """Folder of the unpacked container runtime."""
        return self.folder / "containers"

    @property
    def containers_archive(self) -> Path:
        """What a guest needs beside its root to run containers, as an initramfs archive."""
        return self.folder / "containers.cpio"

    @property
    def services_archive(self) -> Path:
        """What a guest needs beside its root to run services as systemd does, as an initramfs archive."""
        return self.folder / "services.cpio"

    @property
    def package_tools_archive(self) -> Path:
        """What installs and removes the Debian package in a guest, as an initramfs archive."""
        return self.folder / "package-tools.cpio"

    @property
    def package_libraries(self) -> Path:
        """Folder of the libraries that the Debian package has."""
        return self.folder / "package-libraries"

    def kernel(self, version: str) -> Path:
        """Give the folder of an unpacked kernel package."""
        return self.folder / f"kernel-{version}"

    def kernel_image(self, version: str) -> Path:
        """Give the bootable image of a kernel, unpacked if it could be; it exists once prepared."""
        image = next((self.kernel(version) / "boot").glob("vmlinuz-*"))
        unpacked = self.unpacked_image(image)
        return unpacked if unpacked.exists() else image

    def unpacked_image(self, image: Path) -> Path:
        """Give where a kernel is that its image would have to unpack."""
        return self.folder / image.name.replace("vmlinuz", "vmlinux")

    def modules_archive(self, version: str) -> Path:
        """Give the slim module tree of a kernel as an initramfs archive."""
        return self.folder / f"kernel-{version}.cpio"


def default_cache() -> Cache:
    """Give the cache that the environment names, else the user's own."""
    named = os.environ.get("VFIOCTL_LAB_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Cache(Path(named) if named else Path(base) / "vfioctl-lab")


def prepare(cache: Cache, kernels: Iterable[str], say: Callable[[str], None]) -> None:
    """Prepare what is missing or was made from another recipe; raise LabUnavailableError when that fails."""
    cache.folder.mkdir(parents=True, exist_ok=True)
    apt = packages.Apt(cache.folder / "apt")
    with _locked(cache.folder / "lock"):
        steps: list[tuple[str, str, Callable[[], None]]] = [
            ("qemu", _qemu_recipe(), partial(_make_qemu, cache, apt)),
            ("guest", _guest_recipe(), partial(_make_guest, cache, apt)),
            ("virtual-machine", _virtual_machine_recipe(), partial(nested.make_virtual_machine, cache)),
            ("libvirt", _libvirt_recipe(), partial(nested.make_libvirt, cache, apt)),
            ("containers", _containers_recipe(), partial(nested.make_containers, cache, apt)),
            ("services", _services_recipe(), partial(nested.make_services, cache, apt)),
            ("package-tools", package.tools_recipe(), partial(package.make_tools, cache, apt)),
            ("package-libraries", package.libraries_recipe(), partial(package.fetch_libraries, cache)),
        ]
        for version in kernels:
            make_kernel = partial(_make_kernel, cache, apt, version)
            steps.append((f"kernel-{version}", _kernel_recipe(version), make_kernel))
        due = [step for step in steps if _stamp(cache, step[0]) != step[1]]
        if due:
            say("lab: fetching package lists")
            apt.prepare()
        for name, recipe, make in due:
            say(f"lab: preparing {name}")
            make()
            (cache.folder / f"{name}.recipe").write_text(recipe, encoding="utf-8")
        for version in kernels:
            _unpack_image(cache, cache.kernel_image(version))


def compile_python(cache: Cache, folder: Path, seen_as: str) -> None:
    """Precompile a folder with the guest's own Python, as a folder that it will see under another name."""
    python = packages.foreign_command(cache.guest, "usr/bin/python3.11")
    options = ["-q", "-s", str(folder), "-p", seen_as, "--invalidation-mode", "unchecked-hash"]
    environment = {**os.environ, "PYTHONHOME": str(cache.guest / "usr")}
    command = [*python, "-m", "compileall", *options, str(folder)]
    subprocess.run(command, env=environment, check=False, capture_output=True)


def compile_scenarios(cache: Cache, checkout: Path, arguments: Iterable[str]) -> None:
    """Have the guest's pytest read scenarios once: what it keeps of them is good in the guest as well.

    There, emulated, reading them would take longer than any of them. What is missing then is read there.
    """
    python = packages.foreign_command(cache.guest, "usr/bin/python3.11")
    libraries = cache.guest / "usr/lib/python3/dist-packages"
    environment = {**os.environ, "PYTHONHOME": str(cache.guest / "usr"), "PYTHONPATH": str(libraries)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [*python, "-m", "pytest", "--collect-only", *arguments]
    subprocess.run(command, cwd=checkout, env=environment, check=False, capture_output=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stamp(cache: Cache, name: str) -> str:
    path = cache.folder / f"{name}.recipe"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _qemu_recipe() -> str:
    return "\n".join(recipe.QEMU_PACKAGES)


def _kernel_recipe(version: str) -> str:
    return "\n".join((recipe.KERNEL_SUITES[version], *recipe.MODULES))


def _guest_recipe() -> str:
    return "\n".join((*recipe.GUEST_PACKAGES, *sorted(recipe.NOT_NEEDED), *recipe.STRIPPED, *_requirements()))


def _virtual_machine_recipe() -> str:
    return "\n".join((recipe.VIRTUAL_MACHINE, *recipe.FIRMWARE, _qemu_recipe(), _guest_recipe()))


def _libvirt_recipe() -> str:
    parts = (*recipe.LIBVIRT_PACKAGES, *recipe.LIBVIRT_PROGRAMS, *recipe.LIBVIRT_DATA)
    return "\n".join((*parts, _guest_recipe()))


def _containers_recipe() -> str:
    return "\n".join((*recipe.CONTAINER_PACKAGES, *recipe.STRIPPED))


def _services_recipe() -> str:
    return "\n".join((*recipe.SERVICE_PACKAGES, *recipe.SERVICE_STRIPPED, _guest_recipe()))


def _requirements() -> list[str]:
    with (CHECKOUT / "pyproject.toml").open("rb") as stream:
        project = tomllib.load(stream)["project"]
    return [*project["dependencies"], "pytest", *recipe.GUEST_TOOLS]


def _make_qemu(cache: Cache, apt: packages.Apt) -> None:
    shutil.rmtree(cache.qemu, ignore_errors=True)
    names = [f"{name}/{recipe.BACKPORTS}" for name in recipe.QEMU_PACKAGES]
    chosen = {name: version for name, version in apt.resolve(names).items() if name not in recipe.NOT_NEEDED}
    packages.unpack(apt.download(chosen), cache.qemu)


def _make_guest(cache: Cache, apt: packages.Apt) -> None:
    shutil.rmtree(cache.guest, ignore_errors=True)
    chosen = {
        name: version
        for name, version in apt.resolve(recipe.GUEST_PACKAGES).items()
        if name not in recipe.NOT_NEEDED
    }
    packages.unpack(apt.download(chosen), cache.guest)
    packages.strip(cache.guest, recipe.STRIPPED)
    for name in ("passwd", "group"):
        shutil.copy(cache.guest / f"usr/share/base-passwd/{name}.master", cache.guest / "etc" / name)
    for name in ("proc", "sys", "dev", "run", "tmp"):
        (cache.guest / name).mkdir(exist_ok=True)
    _install_python_packages(cache.guest / "usr/lib/python3/dist-packages")
    compile_python(cache, cache.guest / "usr/lib", "/usr/lib")
    with cache.guest_archive.open("wb") as stream:
        cpio.write_archive(stream, cpio.tree_entries(cache.guest))


def _install_python_packages(target: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(target)]
    platform = ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    done = subprocess.run([*pip, *platform, *_requirements()], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"the guest's Python packages cannot be fetched: {done.stderr.strip()[-600:]}"
        raise LabUnavailableError(message)


def _make_kernel(cache: Cache, apt: packages.Apt, version: str) -> None:
    folder = cache.kernel(version)
    shutil.rmtree(folder, ignore_errors=True)
    package = apt.real_package("linux-image-amd64", recipe.KERNEL_SUITES[version])
    packages.unpack(apt.download({package: ""}), folder)
    release = next((folder / "lib/modules").iterdir()).name
    _depmod(cache, folder, release)
    slim = folder / "slim"
    _copy_modules(folder / "lib/modules" / release, slim / "lib/modules" / release)
    _depmod(cache, slim, release)
    with cache.modules_archive(version).open("wb") as stream:
        cpio.write_archive(stream, cpio.tree_entries(slim / "lib/modules", "usr/lib/modules"))
    shutil.rmtree(folder / "usr/lib/modules" / release / "kernel")


def _unpack_image(cache: Cache, image: Path) -> None:
    """Unpack a kernel once, for QEMU to boot as it is (PVH): an emulated processor takes seconds for it."""
    target = cache.unpacked_image(image)
    if not target.exists() and (kernel := bzimage.unpacked(image.read_bytes())):
        part = target.with_suffix(".part")
        part.write_bytes(kernel)
        part.replace(target)


def _depmod(cache: Cache, base: Path, release: str) -> None:
    depmod = packages.foreign_command(cache.guest, "usr/bin/kmod", called="depmod")
    subprocess.run([*depmod, "-b", str(base), release], check=True)


def _copy_modules(full: Path, slim: Path) -> None:
    """Copy the wanted modules and what they depend on, uncompressed: much faster to load under TCG."""
    needs: dict[str, list[str]] = {}
    paths: dict[str, str] = {}
    for line in (full / "modules.dep").read_text(encoding="utf-8").splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
        paths[Path(path).name.partition(".")[0].replace("-", "_")] = path
    wanted = {paths[name] for name in recipe.MODULES if name in paths}
    for path in sorted(wanted.union(*(needs[path] for path in wanted))):
        target = slim / path.removesuffix(".xz")
        target.parent.mkdir(parents=True, exist_ok=True)
        data = (full / path).read_bytes()
        target.write_bytes(lzma.decompress(data) if path.endswith(".xz") else data)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(full / name, slim / name)
