"""Which PCI drivers a host has, and which modules bring which (K6, K52).

Read only where something is to be bound: the lists of modules are a megabyte or two. Of a snapshot they keep
names only, so a catalog read from it is the one of the host.
"""

from __future__ import annotations

from vfioctl.model.drivers import DriverCatalog, ModuleAlias
from vfioctl.sysfs import root as paths
from vfioctl.sysfs.attribute import Files
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.sysfs.root import HostRoot

_VFIO_ALIAS = b"\nalias vfio_pci:"


def read_drivers(root: HostRoot, *, files: Files | None = None) -> DriverCatalog:
    """Read the drivers and modules of the host below a root; ``files`` replaces how.

    Nothing here can block. What is not there or cannot be read is empty, but for `loadable`, where None says
    that nothing is known: a container, a recording, a host whose kernel was removed while it runs.
    """
    files = files or Files(root)
    registered = _names(files, paths.PCI_DRIVERS)
    modules = _Modules(files)
    built_in, loadable = modules.names("modules.builtin"), modules.names("modules.dep")
    return DriverCatalog(
        registered=frozenset(registered),
        loaded=tuple(_modules_of(files, registered)),
        present=_present(files, built_in),
        loadable=None if loadable is None else loadable | (built_in or frozenset()),
        vfio_aliases=tuple(_aliases(modules.content("modules.alias") or b"")),
    )


class _Modules:
    """The lists that depmod makes of the running kernel's modules."""

    def __init__(self, files: Files) -> None:
        self._files = files
        release = (_content(files, paths.KERNEL_RELEASE) or b"").decode("utf-8", "replace").strip()
        # A stranger's recording may spell a path here.
        known = release and "/" not in release
        self._folders = tuple(f"{folder}/{release}" for folder in paths.MODULE_LISTS) if known else ()

    def content(self, name: str) -> bytes | None:
        """Return one of the lists; None when it cannot be read."""
        contents = (_content(self._files, f"{folder}/{name}") for folder in self._folders)
        return next((content for content in contents if content is not None), None)

    def names(self, name: str) -> frozenset[str] | None:
        """Return the modules of one of the lists; None when it cannot be read."""
        content = self.content(name)
        return None if content is None else module_names(content)


def _modules_of(files: Files, drivers: list[str]) -> Iterator[tuple[str, str]]:
    """Yield module and driver: a driver's link back is one read, the modules' folders are hundreds."""
    for driver in drivers:
        try:
            target = files.link(f"{paths.PCI_DRIVERS}/{driver}/module")
        except OSError:
            continue
        yield _spelled(target.rpartition("/")[2]), driver


def _present(files: Files, built_in: frozenset[str] | None) -> frozenset[str]:
    """Return what is loaded or built in."""
    content = _content(files, paths.LOADED_MODULES)
    if content is not None and built_in is not None:
        return loaded_names(content) | built_in
    # Of what is built in, the kernel has a folder only where it has a parameter or a version.
    folders = map(_spelled, _names(files, paths.MODULES))
    return frozenset(folders) | loaded_names(content or b"") | (built_in or frozenset())


def _aliases(content: bytes) -> Iterator[ModuleAlias]:
    """Yield VFIO's few lines among the tens of thousands."""
    text = b"\n" + content
    at = text.find(_VFIO_ALIAS)
    while at >= 0:
        end = text.find(b"\n", at + 1) % (len(text) + 1)
        words = text[at + len(_VFIO_ALIAS) : end].decode("utf-8", "backslashreplace").split()
        if len(words) == 2:  # noqa: PLR2004 - pattern and module
            yield ModuleAlias(words[0], _spelled(words[1]))
        at = text.find(_VFIO_ALIAS, end)


def module_names(content: bytes) -> frozenset[str]:
    """Return the modules of modules.dep or modules.builtin.

    Their lines are such as ``kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/...``.
    """
    lines = content.decode("utf-8", "backslashreplace").split("\n")
    files = (line.partition(":")[0].rpartition("/")[2] for line in lines)
    return frozenset(_spelled(file.partition(".ko")[0]) for file in files if ".ko" in file)


def loaded_names(content: bytes) -> frozenset[str]:
    """Return the modules of /proc/modules, whose lines begin with their names."""
    lines = content.decode("utf-8", "backslashreplace").split("\n")
    return frozenset(name for line in lines if (name := line.partition(" ")[0]))


def is_module_list(path: str) -> bool:
    """Tell whether a file is one of the lists that are read here."""
    return path == paths.LOADED_MODULES or path.startswith(
        tuple(f"{folder}/" for folder in paths.MODULE_LISTS)
    )


def reduced_list(path: str, content: bytes) -> bytes:
    """Return of a list what is read here: a megabyte or two become a few kilobytes, and addresses go."""
    if path.endswith("/modules.alias"):
        lines = [f"alias vfio_pci:{pattern} {module}" for pattern, module in _aliases(content)]
    elif path == paths.LOADED_MODULES:
        lines = sorted(loaded_names(content))
    else:
        lines = [f"{name}.ko:" for name in sorted(module_names(content))]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _spelled(module: str) -> str:
    """Spell a module as the kernel does in /sys/module."""
    return module.replace("-", "_")


def _content(files: Files, path: str) -> bytes | None:
    try:
        return files.read(path)
    except OSError:
        return None


def _names(files: Files, path: str) -> list[str]:
    try:
        return files.names(path)
    except OSError:
        return []
