"""What only a process of its own can show: closed pipes, Ctrl-C, terminals."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Ask

COMMAND = [sys.executable, "-m", "vfioctl", "--root"]


def server(ask: Ask) -> str:
    """Return the path of a sample host."""
    return str(ask.hosts / "server.txt")


@pytest.mark.parametrize(
    "arguments", [["scan"], ["scan", "--json"], ["groups", "-o", "table", "--color"], ["-h"]]
)
def test_a_broken_pipe_is_quiet(arguments: list[str], ask: Ask) -> None:
    """Exit code 141 as if by the signal, and not a word, not even at the interpreter's last flush."""
    reader, writer = os.pipe()
    os.close(reader)

    ended = subprocess.run(
        [*COMMAND, server(ask), *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)

    assert (ended.returncode, ended.stderr) == (141, "")


def test_a_broken_pipe_in_the_error_document_is_quiet(ask: Ask) -> None:
    """Also where the result is an error."""
    reader, writer = os.pipe()
    os.close(reader)

    ended = subprocess.run(
        [*COMMAND, server(ask), "--json", "show", "ff:00.0"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)

    assert (ended.returncode, ended.stderr) == (141, "")


def test_a_full_disk_is_an_error_with_a_hint(ask: Ask) -> None:
    """What cannot be written is said."""
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [*COMMAND, server(ask), "scan"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: the result could not be written: No space left on device\nhint: ")


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["plain", "json"])
def test_a_closed_stdout_is_an_error_with_a_hint(form: list[str], ask: Ask) -> None:
    """`>&-` is told like a full disk."""
    ended = _in_shell([*COMMAND, server(ask), "scan", *form], ">&-")

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: the result could not be written")


def test_a_closed_stderr_costs_the_notes_only(ask: Ask) -> None:
    """The result and the exit code stay."""
    laptop = str(ask.hosts / "laptop.txt")

    assert _in_shell([*COMMAND, laptop, "scan"], "2>&-").stdout.startswith("ADDRESS")
    assert _in_shell([*COMMAND, laptop, "show", "ff:00.0"], "2>&-").returncode == 3


def test_a_terminal_that_is_not_utf_8_gets_escapes(ask: Ask) -> None:
    """A serial console at night is no reason to fail."""
    ended = subprocess.run(
        [*COMMAND, server(ask), "scan", "--tree"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "\\u251c\\u2500 0000:00:00.0" in ended.stdout


def _in_shell(command: list[str], redirection: str) -> subprocess.CompletedProcess[str]:
    words = " ".join(shlex.quote(word) for word in command)
    return subprocess.run(["sh", "-c", f"{words} {redirection}"], capture_output=True, text=True, check=False)


def test_ctrl_c_ends_a_watch_with_130(ask: Ask) -> None:
    """Nothing but the exit code says that it was interrupted."""
    watch = subprocess.Popen(
        [*COMMAND, server(ask), "scan", "--watch", "--interval", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout
    assert watch.stdout.readline().startswith("ADDRESS")

    watch.send_signal(signal.SIGINT)
    _, said = watch.communicate(timeout=20)

    assert (watch.returncode, said) == (130, "")


def test_a_terminal_gets_a_coloured_table_and_the_last_screen_of_a_watch(ask: Ask) -> None:
    """On a terminal of 100 columns the table is the default, and watching redraws it."""
    screen, code = on_terminal([*COMMAND, server(ask), "scan", "class:gpu"])

    assert code == 0
    assert "\x1b[1mADDRESS" in screen
    assert "\x1b[32mvfio-pci" in screen

    screen, code = on_terminal(
        [*COMMAND, server(ask), "scan", "--watch", "--count", "2", "--interval", "0.1"]
    )

    assert code == 0
    assert screen.count("ADDRESS") >= 2
    assert "Ctrl-C ends" in screen
    assert screen.rstrip().endswith("\x1b[?25h")


def test_no_color_is_obeyed_on_a_terminal(ask: Ask) -> None:
    """NO_COLOR (no-color.org)."""
    screen, _ = on_terminal([*COMMAND, server(ask), "scan"], {"NO_COLOR": "1"})

    assert "ADDRESS" in screen
    assert "\x1b" not in screen


@pytest.mark.slow
def test_a_long_reading_shows_a_sign_of_life_on_a_terminal_only() -> None:
    """After a second, on stderr, and wiped away afterwards."""
    code = (
        "import time; from vfioctl.cli.progress import progress\n"
        "with progress('reading x\\x1b'): time.sleep(1.3)\n"
        "with progress('quick'): pass\n"
    )
    command = [sys.executable, "-c", code]
    # Both at once: each takes its second.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as piped:
        shown, _ = on_terminal(command)
        _, said = piped.communicate(timeout=30)

    assert "\rreading x\\x1b ... 1 s" in shown
    assert shown.endswith("\r" + " " * len("reading x\\x1b ... 1 s") + "\r")
    assert "quick" not in shown
    assert (piped.returncode, said) == (0, "")


def on_terminal(command: list[str], environment: dict[str, str] | None = None) -> tuple[str, int]:
    """Run a command on a pseudo-terminal and return what it wrote, and its exit code."""
    variables = os.environ | {"TERM": "xterm", "COLUMNS": "100"} | (environment or {})
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, variables)  # noqa: S606
    written = b""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed.
            break
        if not part:
            break
        written += part
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return written.decode().replace("\r\n", "\n"), os.waitstatus_to_exitcode(status)
