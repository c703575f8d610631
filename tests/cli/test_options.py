"""Global options: before and after the command's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vfioctl import __version__

if TYPE_CHECKING:
    from tests.cli.conftest import Ask


def test_an_option_means_the_same_before_and_after_the_command(ask: Ask) -> None:
    """Nobody has to remember where it goes."""
    path = str(ask.hosts / "laptop.txt")

    before = ask("--root", path, "--json", "scan")
    after = ask("scan", "--root", path, "--json")

    assert before.code == 0
    assert before == after


def test_the_option_outranks_the_environment_wherever_it_stands(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VFIOCTL_ROOT is read for the group and for the command; neither reading undoes --root."""
    monkeypatch.setenv("VFIOCTL_ROOT", str(ask.hosts / "server.txt"))
    laptop = str(ask.hosts / "laptop.txt")

    assert ask("scan").out == ask("scan", host="server").out
    assert ask("--root", laptop, "scan").out == ask("scan", host="laptop").out
    assert ask("scan", "--root", laptop).out == ask("scan", host="laptop").out


def test_the_later_of_two_forms_counts(ask: Ask) -> None:
    """As with every other program."""
    assert ask("--json", "scan", "-o", "plain", host="laptop").out.startswith("ADDRESS")
    assert ask("-o", "plain", "scan", "--json", host="laptop").out.startswith("{")


def test_quiet_says_nothing_beside_the_result(ask: Ask) -> None:
    """Notes are for people."""
    assert ask("scan", host="laptop").err.startswith("note: ")
    assert ask("scan", "-q", host="laptop").err == ""


def test_verbose_gives_the_reasons(ask: Ask) -> None:
    """One line per use and per reason, below the device."""
    assert "cannot be passed through" not in ask("scan", host="workstation").out
    assert "              cannot be passed through: " in ask("scan", "-v", host="workstation").out


@pytest.mark.parametrize("arguments", [["--version"], ["scan", "--version"]])
def test_version_is_answered_anywhere(arguments: list[str], ask: Ask) -> None:
    """Name and number."""
    assert ask(*arguments).out == f"vfioctl {__version__}\n"


def test_colour_is_used_only_where_it_is_wanted(ask: Ask) -> None:
    """Not in a pipe, not in plain text, and for a table when asked for."""
    assert "\x1b" not in ask("scan", host="laptop").out
    assert "\x1b" not in ask("scan", "-o", "plain", "--color", host="laptop").out
    assert "\x1b" not in ask("scan", "-o", "table", "--no-color", host="laptop").out
    assert "\x1b[1mADDRESS" in ask("scan", "-o", "table", "--color", host="laptop").out


def test_colours_change_nothing_else(ask: Ask) -> None:
    """Without its escape sequences the coloured table is the other one."""
    from rich.text import Text

    plain = ask("groups", "-o", "table", "--no-color", host="workstation").out
    colored = ask("groups", "-o", "table", "--color", host="workstation").out

    assert plain.splitlines() == [line.rstrip() for line in Text.from_ansi(colored).plain.splitlines()]


def test_no_color_is_obeyed_and_overruled(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is the default, --color the last word."""
    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b" in ask("scan", "-o", "table", "--color", host="laptop").out
