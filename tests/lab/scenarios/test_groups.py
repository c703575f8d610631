"""vfioctl groups against the kernel's own /sys/kernel/iommu_groups."""

from __future__ import annotations

import pytest

from tests.lab.guest import cli, kernel


@pytest.fixture(scope="module")
def groups() -> dict[int, dict]:
    """What `vfioctl groups` says, by number."""
    return {group["id"]: group for group in cli.document("groups")["groups"]}


def test_members_are_the_kernels(groups):
    """Same groups, same members."""
    assert {number: frozenset(group["members"]) for number, group in groups.items()} == kernel.iommu_groups()


def test_groups_and_members_come_in_numeric_order(groups):
    """The order is promised, so that two runs can be compared."""
    assert list(groups) == sorted(groups)
    assert all(group["members"] == sorted(group["members"]) for group in groups.values())


def test_types_and_reserved_regions_are_the_kernels(groups):
    """Both are read from the group's own files (K23, K24)."""
    for number, group in groups.items():
        folder = kernel.GROUPS / str(number)
        assert group["type"] == (folder / "type").read_text().strip()
        lines = (folder / "reserved_regions").read_text().splitlines()
        found = [(region["start"], region["end"], region["type"]) for region in group["reserved_regions"]]
        assert found == [tuple(line.split()) for line in lines], number


def test_every_group_of_several_says_why_they_are_together(groups):
    """A member alone needs no explanation."""
    for number, group in groups.items():
        if len(group["members"]) > 1:
            assert group["together_because"], number


@pytest.mark.topologies("server")
def test_a_port_without_acs_shares_its_group_with_what_is_below(groups):
    """ioh3420 has no ACS, so the port and the NIC behind it cannot be told apart."""
    assert ["0000:00:04.0", "0000:01:00.0"] in [group["members"] for group in groups.values()]


@pytest.mark.topologies("bare")
def test_without_an_iommu_there_are_no_groups(groups):
    """The command succeeds and lists nothing."""
    assert groups == {}
