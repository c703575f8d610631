"""Documents that are small and mean something huge, or something else than they say."""

from __future__ import annotations

import gzip
import os
import resource
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.tree import HostTree
from vfioctl.errors import UsageError, VfioctlError
from vfioctl.export.cdi import read_spec
from vfioctl.export.yaml_source import read_yaml
from vfioctl.libvirt.source import parse_source
from vfioctl.plugin.config import parse
from vfioctl.plugin.protocol import decode_request
from vfioctl.sysfs.archive import open_root
from vfioctl.sysfs.names import load_names
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LAUGHS = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
XML = {
    "billion-laughs": f'<!DOCTYPE domain [<!ENTITY a0 "ha">{LAUGHS}]><domain>&a9;</domain>',
    "a-file": '<!DOCTYPE domain [<!ENTITY x SYSTEM "file:///etc/shadow">]><domain><name>&x;</name></domain>',
    "a-parameter": '<!DOCTYPE domain [<!ENTITY % x SYSTEM "http://127.0.0.1:1/x"> %x;]><domain/>',
    "a-type": '<!DOCTYPE domain SYSTEM "http://127.0.0.1:1/x"><domain/>',
    "deep": "<a>" * 100_000,
    "utf-16": "\ufeff<domain/>",
}
YAML = {
    "aliases": "a0: &a0 [x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40)),
    "merge": "a: &a {b: c}\nd:\n  <<: *a\n",
    "itself": "&a [*a]",
    "object": "!!python/object/apply:os.system ['true']",
    "name": "!!python/name:os.system",
    "deep": "[" * 100_000,
    "twice": "a: 1\na: 2\n",
}
SECONDS = 5.0
MEMORY = 256 << 20


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Fail a test that computes for long or takes much memory for what is a few kilobytes."""
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - began < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MEMORY


@pytest.mark.parametrize("name", XML)
def test_an_xml_that_expands_or_fetches_is_refused(name: str) -> None:
    """Nothing of it is expanded, no file is opened, nobody is asked."""
    content = XML[name].encode("utf-16" if name == "utf-16" else "utf-8")

    with pytest.raises(UsageError):
        parse_source("vm.xml", content)


@pytest.mark.slow
@pytest.mark.parametrize("name", YAML)
def test_a_yaml_that_expands_or_acts_is_refused(name: str) -> None:
    """Aliases are not read at all; a cluster prints none."""
    with pytest.raises(UsageError):
        read_yaml(YAML[name].encode(), "x.yaml")


@pytest.mark.parametrize(
    "read",
    [
        lambda brackets: parse(f"a = {brackets}"),
        lambda brackets: parse("".join(f"[{'.'.join('a' * 2000)}]\n" for _ in range(3)) + brackets),
        lambda brackets: decode_request(brackets.encode()),
    ],
    ids=["toml", "toml-keys", "json"],
)
def test_brackets_without_end_are_refused_in_words(read: Callable[[str], object]) -> None:
    """What is nested a hundred thousand deep is no configuration and no request."""
    with pytest.raises(VfioctlError):
        read("[" * 100_000)


def test_a_specification_nested_without_end_is_no_specification() -> None:
    """Another program may have left it in /run/cdi."""
    with pytest.raises(ValueError, match="too deeply"):
        read_spec("[" * 100_000)


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    """After what is allowed, not after the disk is full."""
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb") as file:
        header = bytearray(512)
        header[:5], header[124:136], header[156:157], header[257:263] = (
            b"sys/x",
            b"77777777777\0",
            b"0",
            b"ustar\0",
        )
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        file.write(header)
        for _ in range(64):
            file.write(bytes(1 << 20))

    with pytest.raises(UsageError), open_root(str(path)):
        pass


def test_a_folder_is_read_with_its_links_and_an_archive_is_not(tmp_path: Path) -> None:
    """So that a folder of a stranger's could show root a file of root's: the page says so."""
    tree = HostTree(tmp_path / "host").device("0000:01:00.0", driver="igb")
    (tmp_path / "other").write_text("another's")
    os.unlink(f"{tmp_path}/host{tree.path('0000:01:00.0')}/driver_override")
    os.symlink(tmp_path / "other", f"{tmp_path}/host{tree.path('0000:01:00.0')}/driver_override")
    with tarfile.open(tmp_path / "host.tar", "w") as archive:
        archive.add(tmp_path / "host", "")

    (device,) = read_host(HostRoot(str(tmp_path / "host"))).devices

    assert device.driver_override == "another's"
    with pytest.raises(UsageError, match="leads out of the tree"), open_root(str(tmp_path / "host.tar")):
        pass


def test_a_name_database_that_is_no_text_is_one_without_names(tmp_path: Path) -> None:
    """It is whatever a package put there."""
    (tmp_path / "pci.ids").write_bytes(bytes(range(256)) * 1000)

    names = load_names([str(tmp_path / "pci.ids")])

    assert names.vendor(0x8086) is None
