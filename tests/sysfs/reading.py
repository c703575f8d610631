"""Machines of the tests, read."""

from __future__ import annotations

import itertools
import os
import shutil
from typing import TYPE_CHECKING

from vfioctl.model.address import PciAddress
from vfioctl.sysfs.attribute import Attributes, Files
from vfioctl.sysfs.entries import Denied, check, complete
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot
from vfioctl.sysfs.unpack import TreeWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.support.tree import HostTree
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.usage import UsageKind
    from vfioctl.sysfs.entries import Entry

_numbers = itertools.count()


def at(text: str) -> PciAddress:
    """Return the address a text spells."""
    return PciAddress.parse(text)


def root_of(tree: HostTree) -> HostRoot:
    """Return a machine as a root."""
    assert tree._base is not None
    return HostRoot(tree._base, tree.denied())


def host_of(tree: HostTree) -> Host:
    """Read a machine."""
    return read_host(root_of(tree))


def device_of(tree: HostTree, address: str) -> PciDevice:
    """Read a machine and return one device of it."""
    return host_of(tree).by_address[at(address)]


def attributes_of(tree: HostTree) -> Attributes:
    """Return typed reads of a machine."""
    return Attributes(Files(root_of(tree)))


def uses_of(tree: HostTree, address: str) -> list[tuple[UsageKind, str]]:
    """Read a machine and return what it uses a device for."""
    return [(usage.kind, usage.detail) for usage in device_of(tree, address).usage]


def unlink(tree: HostTree, path: str) -> HostTree:
    """Take a link away, wherever it leads."""
    tree.remove(path)
    local = root_of(tree).local(path)
    if os.path.islink(local):
        os.unlink(local)
    return tree


def refuse(tree: HostTree, folder: str, errno: str = "EACCES") -> HostTree:
    """Make a folder unreadable for the user who looks."""
    for known in [path for path in tree._entries if path == folder or path.startswith(f"{folder}/")]:
        del tree._entries[known]
    shutil.rmtree(root_of(tree).local(folder))
    return tree.deny(folder, errno)


def unread_of(host: Host) -> dict[str, str]:
    """Return what could not be read of a host, by the end of its path."""
    return {note.path.rsplit("/", 1)[-1]: note.reason for note in host.unread}


def written(entries: Iterable[Entry], folder: Path) -> HostRoot:
    """Write a snapshot into a new folder, and return it as a root."""
    base = folder / f"snapshot-{next(_numbers)}"
    base.mkdir()
    complete_entries = complete(entries)
    check(complete_entries)
    writer = TreeWriter(str(base))
    writer.write(complete_entries)
    writer.finish()
    return HostRoot(
        str(base), {entry.path: entry.errno for entry in complete_entries if isinstance(entry, Denied)}
    )
