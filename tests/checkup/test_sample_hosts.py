"""On no sample host is anything called ok that was not read there."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fixtures import HOST_NAMES
from tests.support.ready import ready, settle, stamped
from vfioctl.checkup.topics import TOPICS
from vfioctl.sysfs.facts_record import RECORD, decode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.in_process import Program
    from vfioctl.sysfs.root import HostRoot

KEYS = {"id", "title", "address", "status", "evidence", "remedy", "see"}


def checks_of(runner: Program, root: str, *words: str) -> list[dict[str, Any]]:
    """Return what doctor finds below a root."""
    ended = runner("--root", root, "doctor", "--json", *words)
    assert ended.code in {0, 1}, ended.err
    document = json.loads(ended.out)
    assert (document["schema"], document["kind"]) == (1, "doctor")
    checks: list[dict[str, Any]] = document["checks"]
    return checks


def told_of(base: str) -> frozenset[str]:
    """Return what a snapshot says of files that it does not hold: not on the host, or nodes."""
    if not os.path.exists(base + RECORD):
        return frozenset()
    with open(base + RECORD, encoding="utf-8") as file:
        record = decode(file.read().rstrip("\n"))
    assert record is not None
    return record.absent | record.stamps.keys()


@pytest.mark.parametrize("name", [*HOST_NAMES, "sample"])
def test_every_ok_was_read_from_a_file_that_is_there(
    name: str, runner: Program, host_root: Callable[[str], HostRoot]
) -> None:
    """A snapshot that does not have a file says nothing about it; all devices are asked about."""
    base = host_root(name).base
    told = told_of(base)

    checks = checks_of(runner, base, "*:*:*.*", "--memory", "4G")

    assert {check["id"] for check in checks} >= {"iommu-groups", "viable" if name != "empty" else "ids"}
    for check in checks:
        assert check.keys() == KEYS
        assert check["evidence"], check
        assert check["status"] in {"ok", "warn", "fail", "unknown"}
        if check["status"] in {"warn", "fail"}:
            assert check["remedy"], check
        if check["status"] == "ok":
            files = {one["file"] for one in check["evidence"]} - told
            missing = [file for file in files if not os.path.exists(base + file)]
            assert missing == [], check


def test_a_host_of_which_nothing_was_recorded_is_not_ready(runner: Program, tmp_path: Path) -> None:
    """The bus alone tells nothing about boot, limits and nodes: no such check is ok, none fails."""
    os.makedirs(tmp_path / "sys/bus/pci/devices")

    checks = checks_of(runner, str(tmp_path))

    fine = {check["id"] for check in checks if check["status"] == "ok"}
    assert fine <= {"orphan", "vmd"}
    assert {check["id"] for check in checks if check["status"] == "unknown"} >= {
        "iommu-firmware",
        "iommu-cmdline",
        "cmdline",
        "intremap",
        "bootloader",
        "modules",
        "boot-syntax",
        "boot-ids",
        "ids",
        "boot-modules",
        "boot-initramfs",
        "autoprobe",
        "journal",
        "drift",
        "perm",
    }


def test_a_snapshot_tells_what_the_host_told(runner: Program, tmp_path: Path) -> None:
    """What doctor reads is recorded, with what was not there; secrets of the same files are not."""
    tree = settle(ready(tmp_path / "host"), stamped())
    tree.file("/proc/cmdline", "root=/dev/sda1 password=hunter2 quiet intel_iommu=on\n")
    tree.file("/etc/modprobe.d/vfio.conf", "options vfio-pci disable_vga=1\noptions wifi psk=hunter2\n")
    before = checks_of(runner, str(tmp_path / "host"), "--memory", "16G", "--user", "107")

    ended = runner("--root", str(tmp_path / "host"), "snapshot", "save", str(tmp_path / "copy.txt"))

    assert ended.code == 0, ended.err
    assert checks_of(runner, str(tmp_path / "copy.txt"), "--memory", "16G", "--user", "107") == before
    assert "hunter2" not in (tmp_path / "copy.txt").read_text()


def test_every_check_can_be_asked_for_alone_and_left_out(runner: Program, tmp_path: Path) -> None:
    """Ids are what --only and --skip take."""
    settle(ready(tmp_path), stamped())
    memory = ("--memory", "1G")
    everything = {check["id"] for check in checks_of(runner, str(tmp_path), *memory)}

    assert everything == {topic.id for topic in TOPICS}
    for topic in ("journal", "viable", "memlock"):
        alone = checks_of(runner, str(tmp_path), "--only", f"D-{topic}", *memory)
        others = checks_of(runner, str(tmp_path), "--skip", topic, *memory)
        assert {check["id"] for check in alone} == {topic}
        assert {check["id"] for check in others} == everything - {topic}
    family = checks_of(runner, str(tmp_path), "--only", "iommu")
    assert {check["id"] for check in family} == {one for one in everything if one.startswith("iommu-")}
