"""Which devices and groups a selector picks, and what is said when it picks none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import HostTree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask


def addresses(text: str) -> list[str]:
    """Return the first column of a list."""
    return [line.split()[0] for line in text.splitlines()[1:]]


def test_selectors_are_alternatives_and_terms_must_all_hold(ask: Ask) -> None:
    """OR between words, AND between terms."""
    both = ask("scan", "class:gpu,driver:vfio-pci", "97:02", host="server")

    assert addresses(both.out) == ["0000:97:02.0", "0000:98:00.0"]


def test_a_selector_that_matches_nothing_beside_one_that_does_is_a_note(ask: Ask) -> None:
    """The result stands; what is missing is said."""
    ended = ask("scan", "class:gpu", "ff:00.0", host="server")

    assert ended.code == 0
    assert ended.err.startswith("note: nothing here matches ff:00.0")


def test_groups_are_picked_by_the_devices_in_them(ask: Ask) -> None:
    """A device brings its whole group."""
    ended = ask("groups", "--json", "01:00.1", host="workstation").document

    assert [group["members"] for group in ended["groups"]] == [
        ["0000:00:01.0", "0000:01:00.0", "0000:01:00.1"]
    ]


def test_shared_shows_groups_with_several_members(ask: Ask) -> None:
    """Single ones are no news."""
    every, shared = (ask("groups", "--json", *words, host="sample").document for words in ([], ["--shared"]))

    assert shared["groups"] == [group for group in every["groups"] if len(group["members"]) > 1] != []


@pytest.mark.parametrize("host", ["laptop", "empty-groups"])
def test_a_host_without_an_iommu_has_no_groups_and_that_is_no_error(host: str, ask: Ask) -> None:
    """It says so, and what to switch on; for AMD nothing has to be on the command line."""
    text, document = ask("groups", host=host), ask("groups", "--json", host=host)

    assert (text.code, document.code) == (0, 0)
    assert text.out.startswith("no IOMMU groups: nothing can be passed through\n")
    assert "intel_iommu=on" in text.out
    assert "amd_iommu" not in text.out
    assert document.document["groups"] == []
    assert "no IOMMU is at work" in document.err


def test_a_device_without_a_group_on_a_host_with_groups_is_not_found(ask: Ask, tmp_path: Path) -> None:
    """`groups` has nothing to show for it, `show` says why."""
    HostTree(tmp_path / "host").device("0000:01:00.0", group=1).device("0000:02:00.0")

    ended = ask("groups", "02:00.0", "--root", str(tmp_path / "host"))
    shown = ask("show", "02:00.0", "--root", str(tmp_path / "host"))

    assert ended.code == 3
    assert "0000:02:00.0 is in no IOMMU group\nhint: see: vfioctl show 0000:02:00.0\n" in ended.err
    assert "because     it has no IOMMU group" in shown.out


def test_several_devices_are_listed_up_to_eight(ask: Ask) -> None:
    """The message stays one that can be read."""
    ended = ask("show", "*:*.*", host="server")

    assert ended.code == 2
    assert "matches 20 devices: 0000:00:00.0 (bridge)" in ended.err
    assert "and 12 more" in ended.err


def test_an_address_in_another_domain_is_near(ask: Ask) -> None:
    """Five-digit domains are easily forgotten."""
    assert "near it: 10000:e1:00.0" in ask("show", "e1:00.0", host="vmd").err


def test_the_user_learns_what_could_not_be_read(ask: Ask) -> None:
    """Unknown is not absent: on stderr, and in the document."""
    ended = ask("scan", "--json", host="nonroot")

    assert ended.err.startswith("note: ")
    assert "could not be read" in ended.err
    assert [one["path"] for one in ended.document["unreadable"]] != []


def test_a_group_on_a_host_without_groups_is_not_found(ask: Ask) -> None:
    """The hint is the command that says why."""
    ended = ask("scan", "group:1", host="laptop")

    assert ended.code == 3
    assert ended.err.endswith("hint: this host has no IOMMU groups: see vfioctl groups\n")


def test_a_term_without_a_hint_of_its_own_points_to_the_list(ask: Ask) -> None:
    """Whatever was asked for."""
    assert ask("scan", "net:eth99", host="server").err.endswith("hint: see: vfioctl scan\n")


def test_a_mediated_device_stands_for_its_parent(ask: Ask) -> None:
    """Where a command is about PCI functions."""
    uuid = "4b20d080-1b54-4048-85b3-a6a62d165c01"

    assert addresses(ask("scan", f"mdev:{uuid}", host="mdev").out) == ["0000:00:02.0"]
