"""``vfioctl doctor`` on the command line: screens, exit codes, what its options take."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import BashComplete

from tests.support.ready import GPU, ready, settle, stamped
from tools.tree import command_tree
from vfioctl.checkup.topics import BY_ID, TOPICS, families

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask
    from tests.golden_files import GoldenFiles
    from tests.in_process import Program

SCREENS = [
    "sample",
    "server",
    "workstation",
    "nonroot",
    "legacy",
    "vmd",
    "dead",
    "empty-groups",
    "lab-6.12-cdev",
]


@pytest.mark.parametrize("host", SCREENS)
def test_its_screens(host: str, ask: Ask, golden: GoldenFiles) -> None:
    """Plain text, a document, and a table that fits its terminal."""
    table = ask("doctor", "-o", "table", "--no-color", host=host, width=80)

    golden.check(f"doctor/{host}.txt", ask("doctor", host=host).out)
    golden.check(f"doctor/{host}.json", ask("doctor", "--json", host=host).out)
    golden.check(f"doctor/{host}.80.txt", table.out)
    wide = [line for line in table.out.splitlines() if len(line) > 80]
    # Commands and paths are there to be copied.
    assert [line for line in wide if "vfioctl " not in line and "/" not in line] == []


def test_a_device_that_is_asked_about(ask: Ask, golden: GoldenFiles) -> None:
    """What would be in the way of a card that the host still has."""
    ended = ask("doctor", "--only", "viable", "--only", "reset", "01:00", host="sample")

    assert ended.code == 0
    assert "vfioctl bind 0000:01:00.0" in ended.out
    golden.check("doctor/sample-01.00.txt", ended.out)


def test_help_and_background(ask: Ask, golden: GoldenFiles) -> None:
    """What -h says; and of every check, what is behind it."""
    golden.check("help/doctor.txt", ask("doctor", "-h").out)
    golden.check("doctor/explain-intremap.txt", ask("doctor", "--explain", "D-intremap").out)
    for topic in TOPICS:
        told = ask("doctor", "--explain", topic.id, "--json")
        (one,) = json.loads(told.out)["topics"]
        assert (told.code, one["id"]) == (0, topic.id)
        assert len(one["background"]) > 80
    for family in families():
        assert len(json.loads(ask("doctor", "--explain", family, "--json").out)["topics"]) > 1


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--only", "iomu"], 2, "did you mean"),
        (["--skip", "nothing"], 2, "there are: iommu-firmware"),
        (["--memory", "much"], 2, "16G or 512M"),
        (["--memory", "0"], 2, "16G or 512M"),
        (["--only", "memlock"], 2, "--memory 16G"),
        (["--only", "boot", "--skip", "boot"], 2, "no check is left"),
        (["7f:00.0"], 3, "nothing here matches"),
        (["--watch-errors", "-1"], 2, "watch-errors"),
    ],
)
def test_what_it_does_not_understand(words: list[str], code: int, text: str, ask: Ask) -> None:
    """Each is refused with what to type."""
    ended = ask("doctor", *words, host="sample")

    assert (ended.code, ended.out) == (code, "")
    assert text in ended.err


def test_strict_lets_a_warning_fail(ask: Ask) -> None:
    """The sample host has warnings and no failure."""
    assert ask("doctor", host="sample").code == 0
    assert ask("doctor", "--strict", host="sample").code == 1


def test_ids_complete_with_what_they_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """For --only, --skip and --explain."""
    monkeypatch.setenv("VFIOCTL_ROOT", "sample")
    shell = BashComplete(command_tree().command, {}, "vfioctl", "_VFIOCTL_COMPLETE")

    for option in ("--only", "--skip", "--explain"):
        items = shell.get_completions(["doctor", option], "")
        assert {item.value for item in items} == {*BY_ID, *families()}
        assert all(item.help for item in items)
    assert [item.value for item in shell.get_completions(["doctor", "--memory"], "16")] == ["16G"]


def test_sizes_and_users(tmp_path: Path, runner: Program) -> None:
    """A user of another machine is known by number only; root is root everywhere."""
    settle(ready(tmp_path), stamped())
    typed = ("--root", os.fspath(tmp_path), "doctor", GPU, "--only", "perm", "--json", "--user")

    states = {
        user: {one["status"] for one in runner(*typed, user).document["checks"] if one["address"]}
        for user in ("0", "root", "107", "qemu")
    }

    assert states == {"0": {"ok"}, "root": {"ok"}, "107": {"fail"}, "qemu": {"unknown"}}


def test_this_machine(runner: Program) -> None:
    """Whatever it is: it answers, nothing is ok without a file, and everything wrong has a remedy."""
    ended = runner("doctor", "--json", "--user", "root", "--memory", "64M")

    checks = ended.document["checks"]
    assert ended.code == int(any(check["status"] == "fail" for check in checks))
    assert {check["id"] for check in checks} >= {"iommu-groups", "journal", "cmdline", "memlock"}
    for check in checks:
        assert all(one["file"].startswith("/") and one["value"] for one in check["evidence"])
        assert check["evidence"] or check["status"] != "ok"
        assert check["remedy"] or check["status"] not in {"fail", "warn"}


def test_nobody_of_that_name(runner: Program) -> None:
    """A user that this machine does not have."""
    ended = runner("doctor", "--user", "no-such-user-here")

    assert ended.code == 2
    assert "libvirt-qemu" in ended.err
