"""The one place where an error becomes text and an exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import pytest

from vfioctl.cli.main import as_vfioctl_error, error_text
from vfioctl.cli.wiring import as_usage_error
from vfioctl.errors import HostCannotError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask

BAD_INPUT = {
    "unknown command": (["scna"], 2, "no such command: 'scna'; did you mean scan?", "vfioctl -h"),
    "unknown subcommand": (
        ["snapshot", "saves"],
        2,
        "no such command: 'saves'; did you mean save?",
        "snapshot -h",
    ),
    "unknown option": (["scan", "--wied"], 2, "no such option", "did you mean --wide?"),
    "bad choice": (
        ["-o", "tablet", "scan"],
        2,
        "'tablet' is not one of",
        "did you mean table? see: vfioctl -h",
    ),
    "bad number": (["scan", "--watch", "--count", "0"], 2, "0 is not in the range", "vfioctl scan -h"),
    "missing argument": (["show"], 2, "missing argument 'SELECTOR'", "vfioctl show -h"),
    "too many arguments": (["show", "00:00.0", "00:01.0"], 2, "unexpected extra argument", "vfioctl show -h"),
    "unknown selector": (["scan", "colour:red"], 2, "unknown selector 'colour:red'", "write an address"),
    "near selector": (["scan", "clas:gpu"], 2, "unknown selector 'clas:gpu'", "did you mean class:...?"),
    "malformed selector": (["scan", "group:one"], 2, "'group:one' is malformed", "group:17"),
    "USB selector": (["scan", "usb:046d:c52b"], 2, "names a USB device", "class:usb"),
    "ambiguous selector": (["show", "class:gpu,numa:7"], 3, "nothing here matches", "classes on this host"),
    "several devices": (
        ["show", "17:01"],
        2,
        "17:01 matches 4 devices: 0000:17:01.0 (nic)",
        "vfioctl show 0000:17",
    ),
    "no such address": (["show", "17:00.5"], 3, "nothing here matches 17:00.5", "near it: 0000:17:00.0"),
    "no such driver": (
        ["scan", "driver:nouveau"],
        3,
        "nothing here matches driver:nouveau",
        "drivers in use: ast",
    ),
    "no such class": (["scan", "class:audio"], 3, "nothing here matches class:audio", "classes on this host"),
    "no such group": (["groups", "group:999"], 3, "nothing here matches group:999", "go from 0 to"),
    "unknown shell": (["completion", "tcsh"], 2, "'tcsh' is not one of", "vfioctl completion -h"),
    "root that is not there": (["--root", "nowhere", "scan"], 2, "nowhere", "root"),
    "watching as JSON": (["scan", "--watch", "--json"], 2, "--watch has no JSON form", "snapshot diff"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_answered_with_what_happened_and_what_to_do(case: str, ask: Ask) -> None:
    """Message and hint on stderr, the kind's exit code, and nothing else."""
    arguments, code, message, hint = BAD_INPUT[case]

    ended = ask(*arguments, host="server")

    first, second = ended.err.split("\nhint: ")
    assert ended.code == code
    assert first.startswith("error: ")
    assert message in first
    assert hint in second
    assert "Traceback" not in ended.err
    assert "--json" in arguments or ended.out == ""


@pytest.mark.parametrize("case", BAD_INPUT)
def test_with_json_the_error_is_a_document_as_well(case: str, ask: Ask) -> None:
    """A script reads the error where it reads the result, even if the options could not be parsed."""
    arguments, code, message, hint = BAD_INPUT[case]

    ended = ask(*arguments, "--json", host="server")
    document = json.loads(ended.out)

    assert list(document) == ["schema", "kind", "code", "exit_code", "message", "hint"]
    assert (document["schema"], document["kind"], document["exit_code"]) == (1, "error", code)
    assert message in document["message"]
    assert hint in document["hint"]


@pytest.mark.parametrize(
    "spelling", [["--json"], ["-o", "json"], ["-ojson"], ["--output=json"], ["--output", "json"]]
)
def test_every_spelling_of_json_is_understood_beside_an_option_that_is_not(
    spelling: list[str], ask: Ask
) -> None:
    """Click stops at the bad option; the answer is JSON nevertheless."""
    ended = ask("--bad", *spelling, "scan")

    assert json.loads(ended.out)["kind"] == "error"


def test_a_root_without_sys_is_a_usage_error(ask: Ask, tmp_path: Path) -> None:
    """A folder that is no host says so."""
    (tmp_path / "empty").mkdir()

    ended = ask("--root", str(tmp_path / "empty"), "scan")

    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert "\nhint: " in ended.err


def test_a_truncated_archive_is_a_usage_error(ask: Ask, tmp_path: Path) -> None:
    """An archive that ends too early is refused as a whole."""
    whole, part = tmp_path / "whole.tar.gz", tmp_path / "part.tar.gz"
    assert ask("snapshot", "save", str(whole), host="laptop").code == 0
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

    ended = ask("--root", str(part), "scan")

    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("error: ")


def test_without_a_command_the_help_is_an_error_on_stderr(ask: Ask) -> None:
    """`vfioctl` alone explains itself, and a script notices."""
    ended = ask()

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: vfioctl")


def test_debug_adds_the_traceback(ask: Ask) -> None:
    """For a report; the error is still the last thing said."""
    ended = ask("--debug", "show", "17:00.5", host="server")

    assert "Traceback (most recent call last)" in ended.err
    assert "error: nothing here matches" in ended.err.split("Traceback")[-1]


def test_an_error_of_several_lines_is_indented() -> None:
    """The eye finds both parts; whoever wraps lines is the terminal."""
    error = UsageError("first\nsecond", hint="one\ntwo")

    assert error_text(error) == "error: first\n       second\nhint: one\n      two\n"


def test_an_error_never_steers_the_terminal() -> None:
    """Control characters in a message are shown, not sent."""
    error = UsageError("bad \x1b[2J name", hint="\x9b0m and \u202e too")

    assert error_text(error) == "error: bad \\x1b[2J name\nhint: \\x9b0m and \\u202e too\n"


def test_an_unexpected_error_asks_for_a_report() -> None:
    """Whatever was forgotten has a form, too."""
    error = as_vfioctl_error(ZeroDivisionError("division by zero"))

    assert error.exit_code == 1
    assert error.message == "unexpected ZeroDivisionError: division by zero"
    assert "--debug" in error.hint


def test_an_error_of_ours_stays_what_it_is() -> None:
    """Each kind keeps its exit code."""
    error = HostCannotError("no", hint="do")

    assert as_vfioctl_error(error) is error


def test_any_error_of_click_is_a_usage_error() -> None:
    """Also those that have no context."""
    error = as_usage_error(click.FileError("f", hint="No such file."))

    assert (error.exit_code, error.message) == (2, "could not open file 'f': No such file")


def test_hostile_names_in_arguments_are_shown_escaped(ask: Ask) -> None:
    """What the user pasted comes back harmless."""
    ended = ask("scan", "driver:\x1b]0;pwned\x07", host="server")

    assert "\x1b" not in ended.err
    assert "\\x1b]0;pwned\\x07" in ended.err
