"""The sample hosts and the generated ones: current, honest about their origin, and the same to lspci."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.compose import COMPOSED, HOSTS, dumps
from tests.support.entry_tree import read_entries
from tests.support.fixtures import HOST_NAMES, dump_path, unpacked
from tests.support.lspci import Listed, listed, lspci
from tests.support.machines import machines
from tests.support.tree import HostTree
from vfioctl.model.address import PciAddress
from vfioctl.sysfs.dump import format_dump, parse_dump
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot
from vfioctl.sysfs.snapshot import capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fixtures import Recorded
    from vfioctl.model.host import Host

ALL = [*HOST_NAMES, "sample"]
DRIVERLESS = Listed("0000:02:05.0", "0700", "9710:9865", None)


@pytest.mark.no_cover
def test_composed_dumps_are_what_their_compositions_give() -> None:
    """After a change of a composition or of the dump form: python -m tests.support.compose."""
    for path, text in dumps().items():
        with open(path, encoding="utf-8") as file:
            assert file.read() == text, path


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ALL)
def test_a_dump_says_where_it_is_from(name: str) -> None:
    """A composed host never passes for a recorded one, and the README knows both."""
    with open(dump_path(name), encoding="utf-8") as file:
        comments = parse_dump(file.read()).comments
    origin = "composed by hand" if name in COMPOSED or name == "sample" else "recorded"
    assert comments[0].startswith(f"origin: {origin}")
    with open(os.path.join(HOSTS, "README.md"), encoding="utf-8") as file:
        row = re.search(rf"^\| `{re.escape(name)}` \|.*$", file.read(), re.MULTILINE)
    assert row is not None
    assert ("composed by hand" in row[0]) == (origin == "composed by hand")


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ALL)
def test_a_dump_is_in_its_one_form(name: str) -> None:
    """Edited by hand or written by the tool, a dump reads and writes as the same text; nothing is huge."""
    with open(dump_path(name), encoding="utf-8") as file:
        text = file.read()
    dump = parse_dump(text, name)
    assert format_dump(dump.entries, dump.comments) == text


@pytest.mark.parametrize("name", ALL)
def test_lspci_sees_the_same_devices(
    name: str, lspci_of: Callable[[str], frozenset[Listed]], sample_host: Callable[[str], Host]
) -> None:
    """Addresses, classes, ids and drivers are what lspci prints for the same tree."""
    found = lspci_of(name)
    assert len(found) > 3
    assert listed(sample_host(name)) == found


@pytest.mark.parametrize("name", ALL)
def test_a_snapshot_of_a_sample_host_is_the_host(
    name: str, sample_snapshot: Callable[[str], Recorded], sample_host: Callable[[str], Host]
) -> None:
    """read(snapshot(read(h))) == read(h), through the text form."""
    snapshot = sample_snapshot(name)
    assert snapshot.host == sample_host(name)
    assert read_host(snapshot.copy) == snapshot.host


@pytest.mark.no_cover
@pytest.mark.parametrize("name", HOST_NAMES)
def test_lspci_reads_a_snapshot_as_it_reads_the_host(
    name: str, sample_snapshot: Callable[[str], Recorded], lspci_of: Callable[[str], frozenset[Listed]]
) -> None:
    """What other tools need of a device is kept too: ids, configuration space, the driver's folder."""
    assert lspci(sample_snapshot(name).copy.base) == lspci_of(name)


@pytest.mark.no_cover
@settings(
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
    max_examples=settings().max_examples * 2 // 5,
    deadline=None,
)
@given(machine=machines())
def test_generated_machines_are_read_as_lspci_reads_them(
    tmp_path_factory: pytest.TempPathFactory, machine: HostTree
) -> None:
    """Also with attributes missing; and a snapshot of any of them reads as the machine."""
    folder = tmp_path_factory.mktemp("machine")
    root = unpacked(folder / "sys-tree", format_dump(machine.entries()))
    host, entries = capture(root)
    assert listed(host) == (lspci(root.base) if host.devices else frozenset())
    assert read_host(unpacked(folder / "copy", format_dump(entries))) == host


def test_lspci_is_not_the_reader(lspci_of: Callable[[str], frozenset[Listed]]) -> None:
    """The comparison can fail: lspci's own words are parsed, driver and all."""
    found = lspci_of("legacy")
    assert DRIVERLESS in found
    assert Listed("0000:02:04.0", "0400", "1131:7146", "vfio-pci") in found


def test_a_tree_is_a_host_in_a_few_lines(tmp_path: Path) -> None:
    """The builder writes as it is called, and what it denies is unreadable and not absent."""
    tree = (
        HostTree(tmp_path / "host", kernel="6.1.0")
        .bridge("0000:00:01.0", 1, group=1)
        .device("0000:01:00.0", "10de:2204", 0x030000, parent="0000:00:01.0", driver="nouveau", group=2)
        .deny("/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/driver_override")
    )
    host = read_host(HostRoot(str(tmp_path / "host"), tree.denied()))
    gpu = host.by_address[PciAddress.parse("0000:01:00.0")]
    assert (gpu.driver, gpu.iommu_group, str(gpu.parent)) == ("nouveau", 2, "0000:00:01.0")
    assert [(unread.field, unread.address) for unread in host.unread] == [("driver_override", gpu.address)]
    assert read_entries(str(tmp_path / "host"), tree.denied()) == tree.entries()
