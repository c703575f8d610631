"""Hosts with names that would steer a terminal, and attributes that are not text."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.tree import HostTree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask

CLEAR = "\x1b[2J"
BYTES = b"dri\xffver"


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """Return a host with a terminal escape for a driver, a slot and a disk, and bytes that are not UTF-8."""
    tree = HostTree(tmp_path / "host")
    tree.device("0000:01:00.0", driver=f"evil{CLEAR}", group=1).slot(f"7{CLEAR}", "0000:01:00")
    tree.device("0000:02:00.0", class_code=0x010802, driver=os.fsdecode(BYTES), group=2, override="na\x9bme")
    return str(tmp_path / "host")


@pytest.mark.parametrize("form", [["-o", "plain"], ["-o", "table", "--no-color"], ["--json"]], ids=" ".join)
@pytest.mark.parametrize(
    "words",
    [
        ["scan"],
        ["scan", "--wide"],
        ["scan", "-v"],
        ["scan", "--tree"],
        ["groups"],
        ["show", "01:00.0"],
        ["bind", "-n", "01:00.0"],
    ],
    ids=" ".join,
)
def test_nothing_of_it_reaches_the_terminal_raw(
    words: list[str], form: list[str], hostile: str, ask: Ask
) -> None:
    """No control character but the line break, whatever is printed in whatever form."""
    ended = ask("--root", hostile, *words, *form)

    assert ended.code == 0
    raw = [letter for letter in ended.out + ended.err if not letter.isprintable() and letter != "\n"]
    assert raw == []
    assert "\\x1b[2J" in ended.out or "\\u001b[2J" in ended.out


def test_colours_are_the_only_escape_sequences(hostile: str, ask: Ask) -> None:
    """The coloured table holds rich's sequences and none of the host's."""
    ended = ask("--root", hostile, "scan", "-o", "table", "--color")

    assert "\x1b[1m" in ended.out
    assert CLEAR not in ended.out
    assert "evil\\x1b[2J" in ended.out


def test_bytes_that_are_not_text_are_shown_as_they_are(hostile: str, ask: Ask) -> None:
    """The device is listed, its driver in escapes."""
    assert "dri\\xffver" in ask("--root", hostile, "scan").out


def test_json_keeps_what_was_there(hostile: str, ask: Ask) -> None:
    """A program gets the name itself, escaped as JSON escapes it."""
    devices = ask("--root", hostile, "scan", "--json").document["devices"]

    assert devices[0]["driver"] == f"evil{CLEAR}"
    assert devices[1]["driver"] == os.fsdecode(BYTES)


def test_an_error_that_names_it_is_harmless(hostile: str, ask: Ask) -> None:
    """The hint lists drivers, these among them."""
    ended = ask("--root", hostile, "scan", "driver:nothing")

    assert ended.code == 3
    assert "\x1b" not in ended.err
    assert "evil\\x1b[2J" in ended.err


def test_one_device_per_line(ask: Ask) -> None:
    """`grep` on the document finds whole devices."""
    lines = ask("scan", "--json", host="server").out.splitlines()
    devices = [json.loads(line.rstrip(",")) for line in lines[1:-1]]

    assert [device["address"] for device in devices] == sorted(device["address"] for device in devices)
    assert len(devices) == 20
