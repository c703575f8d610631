"""Fixtures: the sample hosts of tests/hosts as folders, and as values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.compose import HOSTS, SAMPLE
from tests.support.lspci import Listed, lspci
from vfioctl.sysfs.dump import format_dump, parse_dump
from vfioctl.sysfs.entries import Denied, Entry
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot
from vfioctl.sysfs.snapshot import capture
from vfioctl.sysfs.unpack import TreeWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vfioctl.model.host import Host

HOST_NAMES = sorted(name.removesuffix(".txt") for name in os.listdir(HOSTS) if name.endswith(".txt"))
"""Every sample host, by its file's name without .txt; the one inside the package is "sample"."""


def dump_path(name: str) -> str:
    """Return where a sample host's dump is."""
    return SAMPLE if name == "sample" else os.path.join(HOSTS, f"{name}.txt")


class Recorded(NamedTuple):
    """A snapshot of a sample host: the host as it was read, the entries, their text form unpacked."""

    host: Host
    entries: list[Entry]
    copy: HostRoot


def unpacked(folder: Path, dump: str, name: str = "dump") -> HostRoot:
    """Unpack dump text into a new folder and return it as a root."""
    folder.mkdir(exist_ok=True)
    entries = parse_dump(dump, name).entries
    writer = TreeWriter(str(folder))
    writer.write(entries)
    writer.finish()
    return HostRoot(str(folder), {entry.path: entry.errno for entry in entries if isinstance(entry, Denied)})


@pytest.fixture(scope="session")
def host_root(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], HostRoot]:
    """Return a function from a sample host's name to its root, unpacked once: do not write to it."""
    roots: dict[str, HostRoot] = {}

    def root(name: str) -> HostRoot:
        if name not in roots:
            with open(dump_path(name), encoding="utf-8") as file:
                roots[name] = unpacked(tmp_path_factory.mktemp(f"host-{name}-"), file.read(), name)
        return roots[name]

    return root


@pytest.fixture(scope="session")
def sample_host(host_root: Callable[[str], HostRoot]) -> Callable[[str], Host]:
    """Return a function from a sample host's name to the host, read once per session."""
    hosts: dict[str, Host] = {}

    def read(name: str) -> Host:
        if name not in hosts:
            hosts[name] = read_host(host_root(name))
        return hosts[name]

    return read


@pytest.fixture(scope="session")
def sample_snapshot(
    host_root: Callable[[str], HostRoot], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Recorded]:
    """Return a function from a sample host's name to a snapshot of it, made once: do not write to it."""
    snapshots: dict[str, Recorded] = {}

    def recorded(name: str) -> Recorded:
        if name not in snapshots:
            host, entries = capture(host_root(name))
            copy = unpacked(tmp_path_factory.mktemp(f"copy-{name}-"), format_dump(entries))
            snapshots[name] = Recorded(host, entries, copy)
        return snapshots[name]

    return recorded


@pytest.fixture(scope="session")
def lspci_of(host_root: Callable[[str], HostRoot]) -> Callable[[str], frozenset[Listed]]:
    """Return a function from a sample host's name to what lspci lists of it, asked once per session."""
    lists: dict[str, frozenset[Listed]] = {}

    def asked(name: str) -> frozenset[Listed]:
        if name not in lists:
            lists[name] = lspci(host_root(name).base)
        return lists[name]

    return asked
