"""The completion scripts, in the shells they are for."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROJECT: Final = Path(__file__).parent.parent
SCRIPTS: Final = {
    "bash": PROJECT / "completions" / "vfioctl.bash",
    "zsh": PROJECT / "completions" / "_vfioctl",
    "fish": PROJECT / "completions" / "vfioctl.fish",
}
SIZE: Final = (60, 160)
"""Rows and columns of a terminal, enough for every list."""

NOISE: Final = "reading-takes-long"
_PATIENCE: Final = 60.0

pytestmark = pytest.mark.slow


@pytest.fixture
def variables(surroundings: Path) -> dict[str, str]:
    """Return an environment in which `vfioctl` is this program, with something to say on stderr."""
    program = surroundings / "bin" / "vfioctl"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\necho {NOISE} >&2\nexec '{Path(sys.executable).with_name('vfioctl')}' \"$@\"\n"
    )
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    home = str(surroundings / "home")
    return {"PATH": path, "HOME": home, "TERM": "dumb", "LC_ALL": "C.UTF-8", "INPUTRC": "/dev/null"}


@pytest.fixture(scope="module")
def addresses() -> list[str]:
    """Return the addresses of the sample host."""
    command = [sys.executable, "-m", "vfioctl", "--root", "sample", "scan", "--json"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [device["address"] for device in json.loads(out)["devices"]]


def need(shell: str) -> str:
    """Return the shell's path, or skip the test."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"install {shell}")
    return path


def bash_replies(line: str, variables: Mapping[str, str]) -> list[str]:
    """Return what bash is offered for the end of a line, word breaks as bash makes them."""
    # compopt works only inside a completion that readline started.
    program = """
        compopt() { printf 'compopt %s\\n' "$*"; }
        . "$1"
        COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
        _vfioctl_completion vfioctl
        printf 'reply %s\\n' "${COMPREPLY[@]}"
    """
    command = [need("bash"), "--norc", "-c", program, "bash", str(SCRIPTS["bash"]), line]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    out = ended.stdout
    return [one.removeprefix("reply ") for one in out.splitlines() if one.startswith("reply ")]


def typed_at(
    shell: Sequence[str], setup: str, keys: str, wanted: str | Sequence[str], variables: Mapping[str, str]
) -> str:
    """Type keys at an interactive shell on a terminal; return the screen once it shows all that is wanted."""
    awaited = (wanted,) if isinstance(wanted, str) else wanted
    child, terminal = pty.fork()
    if child == 0:
        os.execve(shell[0], list(shell), dict(variables))  # noqa: S606 - a shell, on its own terminal
    # Without a size lists are cut, or asked for twice.
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    screen = ""
    sent = 0
    steps = [f"{setup}; echo rea''dy\n", keys]
    ends = time.monotonic() + _PATIENCE
    try:
        while time.monotonic() < ends and not shows(screen, awaited):
            if sent == 0 or (sent == 1 and "ready\r\n" in screen):
                os.write(terminal, steps[sent].encode())
                sent += 1
            if select.select([terminal], [], [], 0.2)[0]:
                screen += os.read(terminal, 65536).decode(errors="replace")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
    return screen.partition("ready\r\n")[2]


def shows(screen: str, wanted: Sequence[str]) -> bool:
    """Tell whether all of it has come to the screen since the shell was ready."""
    since = screen.partition("ready\r\n")[2]
    return all(one in since for one in wanted)


INTERACTIVE: Final = {
    "bash": (("--norc", "--noprofile", "-i"), f"PS1='$ '; . '{SCRIPTS['bash']}'", "\t\t\t"),
    "zsh": (
        ("-f", "-i"),
        f"PS1='$ '; fpath=('{SCRIPTS['zsh'].parent}' $fpath); autoload -Uz compinit; compinit -uD; LISTMAX=0",
        "\t\t\t",
    ),
    "fish": (("--no-config", "-i"), f"source '{SCRIPTS['fish']}'", "\t\t"),
}
"""How each shell is started for a person, what it is told first, and what makes it show its list."""


@pytest.mark.parametrize("shell", INTERACTIVE)
def test_a_tab_on_a_terminal_shows_the_commands(shell: str, variables: Mapping[str, str]) -> None:
    """After the program's name and a blank; with what they do, but in bash, which has no place for it."""
    options, setup, tab = INTERACTIVE[shell]
    wanted = ["scan", "show", "groups", "bind", "unbind", "doctor", "libvirt-xml", "serve-plugin", "pod-spec"]
    wanted += [] if shell == "bash" else ["List every PCI device", "Give devices back to the driver"]
    large = {**variables, "TERM": "xterm"}

    screen = typed_at([need(shell), *options], setup, f"vfioctl {tab}", wanted, large)

    assert [one for one in wanted if one not in screen] == []
    assert NOISE not in screen


@pytest.mark.parametrize("shell", INTERACTIVE)
def test_a_tab_on_a_terminal_shows_addresses(
    shell: str, variables: Mapping[str, str], addresses: list[str]
) -> None:
    """With the names of the devices, but in bash, which shows what stands behind the last colon."""
    options, setup, tab = INTERACTIVE[shell]
    wanted = ["GA102 [GeForce RTX 3090]", "SAA7146"]
    typed, wanted = ("0000:05:", ["00.0", "00.1", "02.2"]) if shell == "bash" else ("0000:", wanted)
    here = {**variables, "TERM": "xterm", "VFIOCTL_ROOT": "sample"}

    screen = typed_at([need(shell), *options], setup, f"vfioctl bind {typed}{tab}", wanted, here)

    assert [one for one in wanted if one not in screen] == []
    assert shell == "bash" or {"0000:01:00.0", "0000:07:04.0"} <= {*addresses}
    assert NOISE not in screen


@pytest.mark.parametrize("shell", SCRIPTS)
def test_each_shell_accepts_its_script(shell: str) -> None:
    """The syntax is right."""
    ended = subprocess.run([need(shell), "-n", SCRIPTS[shell]], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_completion_command_prints_the_committed_script(shell: str) -> None:
    """What a package installs and what a user asks for are one script."""
    command = [sys.executable, "-m", "vfioctl", "completion", shell]

    assert (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
        == SCRIPTS[shell].read_text()
    )


def test_bash_is_offered_commands(variables: Mapping[str, str]) -> None:
    """The words after the program's name."""
    assert {"scan", "show", "groups"} <= set(bash_replies("vfioctl ", variables))


def test_bash_is_offered_what_stands_behind_the_last_colon_of_an_address(
    variables: Mapping[str, str], addresses: list[str]
) -> None:
    """For readline a colon begins a new word: only the rest of the address is the reply."""
    first = addresses[0]
    start, rest = first[: first.rindex(":") + 1], first[first.rindex(":") + 1 :]

    replies = bash_replies(f"vfioctl --root sample show {start}", variables)

    assert rest in replies
    assert all(":" not in reply for reply in replies)
    assert len(replies) == len({one for one in addresses if one.startswith(start)})


def test_bash_is_offered_whole_addresses_where_none_was_begun(
    variables: Mapping[str, str], addresses: list[str]
) -> None:
    """Nothing typed, nothing cut off."""
    assert set(addresses) <= set(bash_replies("vfioctl --root sample show ", variables))


def test_bash_completes_an_address_on_a_terminal(variables: Mapping[str, str], addresses: list[str]) -> None:
    """A real readline, a real TAB."""
    setup = f"PS1='$ '; . '{SCRIPTS['bash']}'"
    keys = f"vfioctl --root sample show {addresses[-1][:-1]}\t"

    screen = typed_at([need("bash"), "--norc", "--noprofile", "-i"], setup, keys, addresses[-1], variables)

    assert f"show {addresses[-1]}" in screen
    assert NOISE not in screen


def test_bash_completes_a_file_beside_the_words_of_an_option(
    variables: Mapping[str, str], tmp_path: Path
) -> None:
    """--root takes a path or a word, and a path may hold a colon."""
    (tmp_path / "sa:ved.tar.gz").touch()
    (tmp_path / "sa").mkdir()

    assert {"sample", "sa:ved.tar.gz", "sa"} <= set(bash_replies("vfioctl --root sa", variables))
    assert bash_replies("vfioctl --root=sa:v", variables) == ["ved.tar.gz"]


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("vfioctl --root sample show 0000:07:05.", "show 0000:07:05.0 "),
        ("vfioctl --root sample --output=js", "--output=json "),
        ("vfioctl --root sample scan driver:snd", "scan driver:snd_hda_intel"),
        ("vfioctl --root sample scan class:bridge,driver:non", "class:bridge,driver:none"),
    ],
    ids=["address", "option=value", "term", "second term"],
)
def test_zsh_completes_words_on_a_terminal(variables: Mapping[str, str], typed: str, wanted: str) -> None:
    """Found through fpath, as an installed package has it."""
    setup = f"PS1='$ '; fpath=('{SCRIPTS['zsh'].parent}' $fpath); autoload -Uz compinit; compinit -u -D"

    screen = typed_at([need("zsh"), "-f", "-i"], setup, f"{typed}\t", wanted, variables)

    assert wanted in screen
    assert NOISE not in screen


def fish_offers(line: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return what fish is offered for the end of a line: value to description."""
    program = f"source '{SCRIPTS['fish']}'; complete -C '{line}'"
    command = [need("fish"), "--no-config", "-c", program]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return {value: text for value, _, text in (one.partition("\t") for one in ended.stdout.splitlines())}


def test_fish_is_offered_addresses_with_the_name_of_the_device(
    variables: Mapping[str, str], addresses: list[str]
) -> None:
    """Each line is a value, a tab, a description; neither is cut at a comma."""
    offers = fish_offers("vfioctl --root sample show 0000:", variables)

    assert set(addresses) <= set(offers)
    assert all(offers[address] for address in addresses)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("vfioctl --root sample scan class:bridge,driver:", "class:bridge,driver:none"),
        ("vfioctl --output=js", "--output=json"),
        ("vfioctl --output js", "json"),
    ],
    ids=["second term", "option=value", "option value"],
)
def test_fish_is_offered_the_whole_word(variables: Mapping[str, str], line: str, wanted: str) -> None:
    """For fish a reply takes the place of the word that was begun."""
    assert wanted in fish_offers(line, variables)
