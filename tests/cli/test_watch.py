"""`vfioctl scan --watch` in a pipe: the list, then every change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.tree import HostTree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask


def test_each_change_is_printed_when_it_is_seen(tmp_path: Path) -> None:
    """Who came, who went, what changed from what to what."""
    base = tmp_path / "host"
    tree = HostTree(base).device("0000:01:00.0", driver="e1000e").device("0000:02:00.0")
    watch = subprocess.Popen(
        [sys.executable, "-m", "vfioctl", "--root", base, "scan", "--watch", "--interval", "0.2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout
    first = [watch.stdout.readline() for _ in range(3)]

    tree.driver("0000:01:00.0", "vfio-pci")
    changed = [watch.stdout.readline() for _ in range(3)]
    _remove(base, "0000:02:00.0")
    gone = [watch.stdout.readline() for _ in range(2)]
    watch.terminate()
    watch.communicate(timeout=20)

    assert [line.split()[0] for line in first] == ["ADDRESS", "0000:01:00.0", "0000:02:00.0"]
    assert changed[1:] == ["~ 0000:01:00.0\n", "    driver: e1000e -> vfio-pci\n"]
    assert gone[1].startswith("- 0000:02:00.0  8086:10d3")


def test_it_ends_after_as_many_looks_as_asked_for(ask: Ask) -> None:
    """Nothing changed, so the list is all there is."""
    watched = ask("scan", "--watch", "--count", "3", "--interval", "0.1", host="laptop")

    assert watched.code == 0
    assert watched.out == ask("scan", host="laptop").out


def _remove(base: Path, address: str) -> None:
    link = base / "sys/bus/pci/devices" / address
    device = link.resolve()
    link.unlink()
    shutil.rmtree(device)
