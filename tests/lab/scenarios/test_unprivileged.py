"""vfioctl for a user who is not root: it answers, and says what it could not see."""

from __future__ import annotations

from tests.lab.guest import cli

HIDDEN = {"usage", "unreadable"}


def test_scan_works_without_root_and_says_what_root_would_add(scanned):
    """Ids, drivers and groups are open to all (K31)."""
    answer = cli.vfioctl("scan", "--json", user=cli.NOBODY)
    assert answer.exit_code == 0, answer.stderr
    seen = {device["address"]: device for device in answer.document["devices"]}
    assert list(seen) == list(scanned)
    for key in (
        "vendor_id",
        "device_id",
        "class_code",
        "driver",
        "iommu_group",
        "numa_node",
        "header",
        "parent",
    ):
        assert {a: d[key] for a, d in seen.items()} == {a: d[key] for a, d in scanned.items()}, key


def test_what_cannot_be_read_is_named_and_never_taken_for_absent(scanned):
    """A fact that differs from what root sees is null, and its file stands under "unreadable"."""
    document = cli.document("scan", user=cli.NOBODY)
    named = {(entry["address"], entry["field"]) for entry in document["unreadable"]}
    for device in document["devices"]:
        for key, value in scanned[device["address"]].items():
            if key not in HIDDEN and device[key] != value:
                assert (device["address"], key) in named or (None, key) in named, (
                    device["address"],
                    key,
                    device[key],
                    value,
                )


def test_groups_are_judged_the_same_without_root():
    """Everything that decides about viability is open to all; only why a port does not isolate needs root."""
    seen, full = (cli.document("groups", user=user)["groups"] for user in (cli.NOBODY, None))
    for group in (*seen, *full):
        assert bool(group.pop("together_because")) == (len(group["members"]) > 1)
    assert seen == full
