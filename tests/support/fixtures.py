"""Fixtures: the sample hosts of tests/hosts as folders, and as values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.compose import HOSTS, SAMPLE
from vfioctl.sysfs.dump import parse_dump
from vfioctl.sysfs.entries import Denied
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot
from vfioctl.sysfs.unpack import TreeWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.model.host import Host

HOST_NAMES = sorted(name.removesuffix(".txt") for name in os.listdir(HOSTS) if name.endswith(".txt"))
"""Every sample host, by its file's name without .txt; the one inside the package is "sample"."""


def dump_path(name: str) -> str:
    """Return where a sample host's dump is."""
    return SAMPLE if name == "sample" else os.path.join(HOSTS, f"{name}.txt")


@pytest.fixture(scope="session")
def host_root(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], HostRoot]:
    """Return a function from a sample host's name to its root, unpacked once: do not write to it."""
    roots: dict[str, HostRoot] = {}

    def unpacked(name: str) -> HostRoot:
        if name not in roots:
            with open(dump_path(name), encoding="utf-8") as file:
                entries = parse_dump(file.read(), name).entries
            base = str(tmp_path_factory.mktemp(f"host-{name}-"))
            writer = TreeWriter(base)
            writer.write(entries)
            writer.finish()
            denied = {entry.path: entry.errno for entry in entries if isinstance(entry, Denied)}
            roots[name] = HostRoot(base, denied)
        return roots[name]

    return unpacked


@pytest.fixture(scope="session")
def sample_host(host_root: Callable[[str], HostRoot]) -> Callable[[str], Host]:
    """Return a function from a sample host's name to the host, read once per session."""
    hosts: dict[str, Host] = {}

    def read(name: str) -> Host:
        if name not in hosts:
            hosts[name] = read_host(host_root(name))
        return hosts[name]

    return read
