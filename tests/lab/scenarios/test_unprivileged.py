"""vfioctl for a user who is not root: it answers, and says what it could not see."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.guest import cli

OPEN_TO_ALL = (
    "vendor_id",
    "device_id",
    "class_code",
    "driver",
    "iommu_group",
    "numa_node",
    "header",
    "parent",
)


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What `vfioctl scan` says to a user who is not root; it succeeds."""
    return cli.document("scan", user=cli.NOBODY)


@pytest.mark.parametrize("key", OPEN_TO_ALL)
def test_what_is_open_to_all_is_the_same_without_root(scanned, seen, key):
    """Ids, drivers and groups need no privilege (K31)."""
    assert {device["address"]: device[key] for device in seen["devices"]} == {
        address: device[key] for address, device in scanned.items()
    }


def test_what_cannot_be_read_is_named_and_never_taken_for_absent(scanned, seen):
    """A fact that differs from what root sees is null, and its file stands under "unreadable"."""
    named = {(entry["address"], entry["field"]) for entry in seen["unreadable"]}
    for device in seen["devices"]:
        address = device["address"]
        for key in device.keys() - {"usage"}:
            if device[key] != scanned[address][key]:
                assert {(address, key), (None, key)} & named, (address, key, device[key])


def test_groups_are_judged_the_same_without_root():
    """Everything that decides about viability is open to all; only why a port does not isolate needs root."""
    seen, full = (cli.document("groups", user=user)["groups"] for user in (cli.NOBODY, None))
    for group in (*seen, *full):
        assert bool(group.pop("together_because")) == (len(group["members"]) > 1)
    assert seen == full
