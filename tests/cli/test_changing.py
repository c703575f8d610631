"""Commands that change bindings: who may, what is exact enough, and what is said of a refusal."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.support.fixtures import HOST_NAMES
from vfioctl.model.viability import assess
from vfioctl.plan.bind import plan_bind
from vfioctl.plan.foresee import foresee
from vfioctl.plan.plan import Request
from vfioctl.render.outlook import outlook
from vfioctl.sysfs.drivers import read_drivers
from vfioctl.sysfs.situation import read_situation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Ask
    from vfioctl.model.host import Host
    from vfioctl.sysfs.root import HostRoot

CHANGING = [("bind", "05:00.1"), ("unbind", "05:02.2"), ("recover",)]


@pytest.mark.parametrize("words", CHANGING, ids=" ".join)
def test_who_is_not_root_is_told_at_once(
    words: tuple[str, ...], ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before this host is read: there may be a lot of it."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("vfioctl.cli.planning.read_host", None)

    ended = ask(*words)

    assert (ended.code, ended.out) == (6, "")
    assert ended.err.startswith(f"error: {words[0]} changes drivers, which takes root\nhint: ")
    assert f"sudo vfioctl {words[0]}" in ended.err
    assert "--dry-run" in ended.err


@pytest.mark.parametrize("words", CHANGING[:2], ids=" ".join)
def test_another_host_can_be_looked_at_and_not_changed(words: tuple[str, ...], ask: Ask) -> None:
    """A snapshot has no kernel; root or not is of no matter then."""
    ended = ask(*words, host="sample")

    assert (ended.code, ended.out) == (2, "")
    assert "--dry-run" in ended.err
    assert "VFIOCTL_ROOT" in ended.err


def test_a_snapshot_has_nothing_to_recover(ask: Ask) -> None:
    """Also not as a dry run: the journal is not in it."""
    ended = ask("recover", "-n", host="sample")

    assert (ended.code, ended.out) == (2, "")
    assert "has no journal" in ended.err


EXACT = [
    "05:00.1",
    "0000:05:00.1",
    "01:00",
    "01:00.*",
    "group:1",
    "vfs-of:05:00.0#0-1",
    "vfs-of:05:00.0#3",
    "net:enp5s0f1",
    "class:usb",
]
INEXACT = {
    "class:nic": "class:nic matches 7 devices: 0000:04:00.0 (nic), 0000:05:00.0 (nic)",
    "8086:154c": "matches 4 devices",
    "driver:iavf": "matches 2 devices",
    "vfs-of:05:00.0": "matches 4 devices",
    "under:00:1d.0": "matches",
    "05:*": "matches",
    "numa:0,class:gpu": "matches",
}


@pytest.mark.parametrize("selector", EXACT)
def test_what_names_its_devices_exactly_is_enough(selector: str, ask: Ask) -> None:
    """Or what matches only one."""
    assert ask("bind", "-n", selector, host="sample").code != 2


@pytest.mark.parametrize("selector", INEXACT)
def test_what_matches_several_lists_them_and_changes_nothing(selector: str, ask: Ask) -> None:
    """Unless all of them are meant."""
    ended, meant = (ask("bind", "-n", *words, selector, host="sample") for words in ([], ["--all"]))

    assert (ended.code, ended.out) == (2, "")
    assert INEXACT[selector] in ended.err
    assert "hint: name one of them: vfioctl bind 0000:" in ended.err
    assert ended.err.endswith("--all\n")
    assert meant.code != 2


@pytest.mark.parametrize(
    "words", [["05:00.9"], ["05:00.1", "ff:00.0"], ["group:999"], ["--all", "class:audio,numa:7"]]
)
def test_what_matches_nothing_changes_nothing(words: list[str], ask: Ask) -> None:
    """Half of what was asked for is not what was asked for."""
    ended = ask("bind", "-n", *words, host="sample")

    assert (ended.code, ended.out) == ((2 if words == ["05:00.9"] else 3), "")


def test_a_mediated_device_is_not_its_parent(ask: Ask) -> None:
    """To change the parent it must be named."""
    ended = ask("bind", "-n", "mdev:4b20d080-1b54-4048-85b3-a6a62d165c01", host="mdev")

    assert ended.code == 2
    assert "names mediated devices" in ended.err
    assert "0000:00:02.0" in ended.err


def test_bridges_are_not_meant_by_a_group_or_a_slot(ask: Ask) -> None:
    """Whoever names one by its address is told that it cannot be."""
    group, bridge = (ask("bind", "-n", "--json", one, host="sample") for one in ("group:1", "00:01.0"))

    assert {step["address"] for step in group.document["steps"]} - {None} == {"0000:01:00.0", "0000:01:00.1"}
    assert bridge.code == 5


def test_a_selector_is_needed(ask: Ask) -> None:
    """Nobody means every device of the host."""
    ended = ask("bind", "-n", "--all", host="sample")

    assert (ended.code, ended.out) == (2, "")


@pytest.mark.parametrize(
    "words", [("bind", "03:00.0"), ("bind", "00:01.0"), ("unbind", "02:00.0")], ids=" ".join
)
def test_a_refusal_is_a_plan_document_and_an_error_on_stderr(words: tuple[str, ...], ask: Ask) -> None:
    """One document for a script, the two parts for whoever reads along."""
    command, selector = words

    ended = ask(command, "-n", "--json", selector, host="sample")
    document = json.loads(ended.out)

    assert (document["kind"], document["result"], document["exit_code"]) == ("plan", "refused", ended.code)
    assert ended.code in {4, 5}
    assert ended.err.startswith(f"error: {command} refused, nothing was changed\n")
    assert "\nhint: " in ended.err
    refusals = [finding for finding in document["findings"] if finding["severity"] == "refuse"]
    assert refusals
    assert all(f"[{finding['check']}]" in ended.err for finding in refusals)
    assert all(finding["hint"] for finding in refusals)


def test_force_lifts_exactly_one_check(ask: Ask) -> None:
    """What it lifts is still said, as a warning."""
    plain, forced = (
        ask("bind", "-n", "--json", *words, "03:00.0", host="sample").document
        for words in ([], ["--force", "storage-root"])
    )

    def checks(document: dict[str, list[dict[str, str]]], severity: str) -> set[str]:
        return {one["check"] for one in document["findings"] if one["severity"] == severity}

    assert "storage-root" in checks(plain, "refuse")
    assert checks(forced, "refuse") == checks(plain, "refuse") - {"storage-root"}
    assert "storage-root" in checks(forced, "warn")


def test_a_dry_run_writes_the_same_steps_on_the_screen_and_in_the_document(ask: Ask) -> None:
    """As text for a shell, as JSON for a script."""
    screen = ask("bind", "-n", "group:1", host="sample").out
    document = ask("bind", "-n", "--json", "group:1", host="sample").document

    written = [line.split() for line in screen.splitlines() if line.startswith("  echo ")]
    steps = [step for step in document["steps"] if step["path"].startswith("/sys")]
    assert [(words[1], words[3]) for words in written] == [(step["value"], step["path"]) for step in steps]
    assert document["dry_run"] is True
    assert {step["outcome"] for step in document["steps"]} == {"planned"}


@pytest.mark.parametrize("name", [*HOST_NAMES, "sample"])
def test_what_groups_and_show_tell_to_type_works(
    name: str, ask: Ask, host_root: Callable[[str], HostRoot], sample_host: Callable[[str], Host]
) -> None:
    """On every sample host: understood, never impossible, and the group is viable afterwards."""
    host, root = sample_host(name), host_root(name)
    catalog, around = read_drivers(root), read_situation(root, host, (), {})
    for group in host.groups:
        told = outlook(host, group)
        if told.command is None:
            continue
        _, command, *options, address = shlex.split(told.command)

        ended = ask(command, "-n", "--json", *options, address, host=name)
        plan = plan_bind(
            host, catalog, around, Request(told.binds[:1], release_shpchp="--release-shpchp" in options)
        )

        refused = {one["check"] for one in ended.document["findings"] if one["severity"] == "refuse"}
        assert command == "bind"
        assert ended.code in {0, 4}, (told.command, ended.err)
        # What the host would lose is said before by both; there must be no reason beyond.
        assert refused <= {
            "storage",
            "storage-root",
            "net",
            "ssh",
            "console",
            "gpu-busy",
            "input",
            "mdev",
            "vm",
        }
        assert {str(one) for one in told.binds} <= {step["address"] for step in ended.document["steps"]}
        assert assess(foresee(host, plan), group).viable is not False
