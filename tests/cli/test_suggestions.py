"""What a TAB offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.shell_completion import BashComplete

from tests.support.tree import HostTree
from vfioctl.cli.tree import root

if TYPE_CHECKING:
    from pathlib import Path


def offered(words: list[str], incomplete: str) -> dict[str, str | None]:
    """Return the values that would be offered, with their help."""
    shell = BashComplete(root, {}, "vfioctl", "_VFIOCTL_COMPLETE")
    return {item.value: item.help for item in shell.get_completions(words, incomplete)}


@pytest.fixture
def host(tmp_path: Path) -> str:
    """Return a small host."""
    base = tmp_path / "host"
    tree = HostTree(base).device("0000:01:00.0", "8086:10d3", driver="e1000e", group=17)
    tree.device("10000:e1:00.0", "144d:a808", 0x010802, driver="nvme", group=3).net("enp1s0", "0000:01:00.0")
    return str(base)


def test_addresses_come_with_the_name_of_the_device(host: str) -> None:
    """So that nobody has to know them by heart."""
    found = offered(["--root", host, "show"], "0000:")

    assert list(found) == ["0000:01:00.0"]
    assert found["0000:01:00.0"]


def test_an_address_may_be_begun_without_its_domain(host: str) -> None:
    """As it may be typed."""
    assert list(offered(["--root", host, "show"], "01")) == ["01:00.0"]
    assert list(offered(["--root", host, "show"], "10000:e")) == ["10000:e1:00.0"]


def test_words_are_offered_and_then_their_values(host: str) -> None:
    """The word first, what this host has for it next."""
    scan = ["--root", host, "scan"]

    assert "driver:" in offered(scan, "")
    assert list(offered(scan, "dri")) == ["driver:"]
    assert list(offered(scan, "driver:")) == ["driver:nvme", "driver:e1000e", "driver:none"]
    assert list(offered(scan, "group:")) == ["group:3", "group:17"]
    assert list(offered(scan, "net:")) == ["net:enp1s0"]
    assert list(offered(scan, "class:nv")) == ["class:nvme"]
    assert list(offered(scan, "under:01")) == ["under:01:00.0"]
    assert list(offered(scan, "slot:")) == []


def test_what_stands_before_the_comma_is_kept(host: str) -> None:
    """Terms of one selector."""
    assert list(offered(["--root", host, "scan"], "class:nic,driver:e")) == ["class:nic,driver:e1000e"]


def test_global_options_complete_everywhere() -> None:
    """Before and after the command."""
    assert "--json" in offered([], "--j")
    assert "--json" in offered(["scan"], "--j")
    assert list(offered(["-o"], "")) == ["table", "plain", "json"]
    assert "sample" in offered(["--root"], "sam")


def test_commands_complete_with_their_summary() -> None:
    """Nested ones, too."""
    assert list(offered([], "sn")) == ["snapshot"]
    assert list(offered(["snapshot"], "")) == ["save", "diff"]
    assert all(offered([], "").values())


def test_a_root_that_is_no_host_offers_the_words_only(tmp_path: Path) -> None:
    """A TAB is no place for an error."""
    assert offered(["--root", str(tmp_path), "scan"], "0000:") == {}
    assert offered(["--root", str(tmp_path / "nowhere"), "scan"], "") == {}
