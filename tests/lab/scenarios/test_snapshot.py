"""The guest saved in a snapshot: read back here, and on the outside where it is compared once more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.guest import channel, cli

pytestmark = pytest.mark.deadline(180)


def test_a_snapshot_of_the_live_guest_scans_as_the_guest_does(tmp_path: Path) -> None:
    """No command can tell a snapshot from the host it was taken of."""
    snapshot = tmp_path / "host.tar.gz"
    live = cli.vfioctl("scan", "--json")
    saved = cli.vfioctl("snapshot", "save", str(snapshot))
    assert (live.exit_code, saved.exit_code) == (0, 0), live.stderr + saved.stderr
    channel.bring_back("scan.json", live.stdout.encode())
    channel.bring_back("host.tar.gz", snapshot.read_bytes())
    assert cli.document("--root", str(snapshot), "scan") == live.document


@pytest.mark.topologies("server", "legacy")
def test_groups_of_a_snapshot_are_those_of_the_guest(tmp_path: Path) -> None:
    """The dump as text holds the same host."""
    dump = tmp_path / "host.txt"
    assert cli.vfioctl("snapshot", "save", str(dump)).exit_code == 0
    assert cli.document("--root", str(dump), "groups") == cli.document("groups")
