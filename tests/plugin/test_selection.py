from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from tests.plugin.factory import card, given, machine
from vfioctl.model.selector import Selector, select
from vfioctl.plugin.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.model.host import Host

TERMS = (
    "8086:1889",
    "8086:*",
    "10de:1eb8",
    "10de:1eb8:10de:12a2",
    "0000:17:01.0",
    "17:01",
    "17:*",
    "0000:17:01.*",
    "*:17:01.1",
    "class:gpu",
    "class:02",
    "driver:none",
    "driver:vfio-pci",
    "group:0",
    "numa:0",
    "group:1",
    "numa:1",
    "under:00:1c.0",
    "net:ens1f0",
    "vfs-of:17:00.0#0-2",
    "vfs-of:17:00.0",
)


@drawn(
    st.lists(st.lists(st.sampled_from(TERMS), min_size=1, max_size=3), min_size=1, max_size=4),
    st.sampled_from(["server", "workstation", "sample"]),
)
def test_it_is_what_selecting_one_by_one_gives(texts: list[list[str]], name: str) -> None:
    """For any selectors, asked one after the other of one selection: what is remembered changes nothing."""
    host = HOSTS[name]
    selection = Selection(host)
    for terms in texts:
        wanted = [Selector.parse(",".join(terms)), Selector.parse(terms[0])]

        assert selection.select(wanted) == {device.address for device in select(host, wanted)}


HOSTS: dict[str, Host] = {}


@pytest.fixture(scope="module", autouse=True)
def hosts(sample_host: Callable[[str], Host]) -> None:
    """Read the hosts before hypothesis begins."""
    HOSTS.update({name: sample_host(name) for name in ("server", "workstation", "sample")})


def test_terms_that_compare_equal_are_told_apart() -> None:
    """`group:1` and `numa:1` are equal tuples."""
    host = machine(given("0000:01:00.0", 1, numa_node=0), given("0000:02:00.0", 2, numa_node=1))
    selection = Selection(host)

    found = [selection.select([Selector.parse(text)]) for text in ("group:1", "numa:1")]

    assert [[str(address) for address in one] for one in found] == [["0000:01:00.0"], ["0000:02:00.0"]]


def test_nothing_selects_nothing() -> None:
    """An empty list excludes nobody; for `select` alone it would mean everybody."""
    assert Selection(machine(*card(1, 1))).select([]) == frozenset()
