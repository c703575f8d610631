"""`vfioctl snapshot`: saved, looked at again, compared."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.support.tree import HostTree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask


@pytest.mark.parametrize(
    "name", ["host.tar.gz", "host.tgz", "host.tar", "host.tar.zst", "saved.dump.txt", "folder"]
)
def test_every_form_reads_as_the_host_it_is_of(name: str, ask: Ask, tmp_path: Path) -> None:
    """Looking at the snapshot is looking at the host."""
    saved = str(tmp_path / name)

    ended = ask("snapshot", "save", saved, host="sample")

    assert ended.code == 0
    assert ended.out == ""
    assert ended.err.startswith("note: saved 27 devices; look at them with: vfioctl --root ")
    for words in (["scan", "--json"], ["groups", "--json"]):
        assert ask("--root", saved, *words).out == ask(*words, host="sample").out
    assert ask("snapshot", "diff", saved, host="sample").code == 0


def test_saving_as_json_says_what_was_saved(ask: Ask, tmp_path: Path) -> None:
    """For scripts."""
    document = ask("snapshot", "save", "--json", str(tmp_path / "h.tar.gz"), host="laptop").document

    assert list(document) == ["schema", "kind", "file", "devices", "redacted", "unreadable"]
    assert (document["kind"], document["devices"], document["redacted"]) == ("snapshot", 9, False)


def test_a_file_is_overwritten_only_by_force(ask: Ask, tmp_path: Path) -> None:
    """The snapshot from before the change is not lost to a typing error."""
    path = tmp_path / "host.tar.gz"
    path.write_text("precious")

    refused = ask("snapshot", "save", str(path), host="laptop")

    assert refused.code == 2
    assert "--force" in refused.err
    assert path.read_text() == "precious"
    assert ask("snapshot", "save", str(path), "--force", host="laptop").code == 0
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_an_unknown_ending_is_refused(ask: Ask, tmp_path: Path) -> None:
    """With what is possible, and nothing left behind."""
    ended = ask("snapshot", "save", str(tmp_path / "host.zip"), host="laptop")

    assert ended.code == 2
    assert ".tar.gz" in ended.err
    assert not (tmp_path / "host.zip").exists()


def test_redacting_hides_the_mac_addresses(ask: Ask, tmp_path: Path) -> None:
    """And still reads as a host."""
    base, path = tmp_path / "host", tmp_path / "host.txt"
    tree = HostTree(base).device("0000:01:00.0", driver="e1000e").net("enp1s0", "0000:01:00.0")
    tree.network({"enp1s0": ["fe80::5054:ff:fe12:3456/64"]})

    assert ask("snapshot", "save", str(path), "--root", str(base)).code == 0
    assert "505400fffe123456" in path.read_text()
    assert ask("snapshot", "save", "--redact", "--force", str(path), "--root", str(base)).code == 0
    assert "123456" not in path.read_text()
    assert len(ask("--root", str(path), "scan", "--json").document["devices"]) == 1


def test_a_difference_is_the_result_and_exits_with_10(ask: Ask) -> None:
    """On stdout: nothing went wrong."""
    old, new = (str(ask.hosts / f"{name}.txt") for name in ("laptop", "mdev"))

    ended = ask("snapshot", "diff", old, new)
    document = ask("snapshot", "diff", old, new, "--json").document

    assert ended.code == 10
    assert "error" not in ended.err
    assert ended.out.splitlines()[-1] == "1 added, 6 removed, 3 changed, 5 groups changed"
    assert document["equal"] is False
    assert [device["address"] for device in document["added"]] == ["0000:00:08.0"]
    assert len(document["removed"]) == 6
    assert {change["field"] for change in document["host"]} >= {"kernel", "iommu"}


def test_no_difference_exits_with_0(ask: Ask) -> None:
    """Said in a word."""
    path = str(ask.hosts / "laptop.txt")

    assert ask("snapshot", "diff", path, path).out == "no difference\n"
    assert ask("snapshot", "diff", path, "--json", host="laptop").document == {
        "schema": 1,
        "kind": "diff",
        "equal": True,
        "added": [],
        "removed": [],
        "changed": [],
        "groups": [],
        "host": [],
    }
