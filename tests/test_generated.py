"""Committed files that a tool writes equal what the tool writes now."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tools import completions, generated, man, readme, screenshots
from tools.tree import command_tree

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT: Final = Path(__file__).parent.parent

GENERATORS: Final[dict[str, Callable[[], int]]] = {
    "completions": lambda: generated.run(
        "completions", completions.completion_files(), folder="completions", arguments=["--check"]
    ),
    "man": lambda: generated.run("man", man.man_pages(command_tree()), folder="man", arguments=["--check"]),
    "readme": lambda: generated.run("readme", readme.files(), arguments=["--check"]),
    "screenshots": lambda: generated.run(
        "screenshots", screenshots.screenshots(), folder="docs/images", arguments=["--check"]
    ),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_what_is_committed_is_current(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`make regen` would change nothing."""
    code = GENERATORS[name]()

    assert code == 0, capsys.readouterr().err


def test_check_writes_nothing_and_fails_on_missing_changed_and_left_over_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check that cannot fail would keep nothing current."""
    changed, missing, left_over = (tmp_path / "made" / name for name in ("changed", "missing", "left-over"))
    changed.parent.mkdir()
    changed.write_text("old\n")
    left_over.write_text("nobody's\n")

    code = generated.run(
        "made", {changed: "new\n", missing: "new\n"}, folder=str(changed.parent), arguments=["--check"]
    )

    message = capsys.readouterr().err
    assert code == 1
    assert all(str(path) in message for path in (changed, missing, left_over))
    assert "-old\n+new" in message
    assert changed.read_text() == "old\n"
    assert not missing.exists()
    assert left_over.exists()


def test_without_check_the_files_are_written_and_left_over_ones_removed(tmp_path: Path) -> None:
    """Writing makes the next check succeed."""
    made, left_over = tmp_path / "made" / "page", tmp_path / "made" / "left-over"
    made.parent.mkdir()
    left_over.write_text("nobody's\n")

    written = generated.run("made", {made: "new\n"}, folder=str(made.parent), arguments=[])
    checked = generated.run("made", {made: "new\n"}, folder=str(made.parent), arguments=["--check"])

    assert (written, checked) == (0, 0)
    assert made.read_text() == "new\n"
    assert not left_over.exists()


@pytest.mark.parametrize("page", sorted((PROJECT / "man").iterdir()), ids=lambda path: path.name)
@pytest.mark.parametrize(
    ("program", "package"),
    [(["groff", "-ww", "-man", "-Tutf8", "-z"], "groff-base"), (["mandoc", "-Tlint"], "mandoc")],
    ids=["groff", "mandoc"],
)
def test_man_pages_are_free_of_warnings(program: list[str], package: str, page: Path) -> None:
    """Both formatters in use read every page without a word."""
    if shutil.which(program[0]) is None:
        pytest.skip(f"install {package}")

    ended = subprocess.run([*program, str(page)], capture_output=True, text=True, check=False)

    assert (ended.stdout + ended.stderr, ended.returncode) == ("", 0)


@pytest.mark.parametrize(
    "script",
    [
        "completions/vfioctl.bash",
        "tools/private_environment.sh",
        "tools/system_packages.sh",
        ".ci/run",
        "packaging/debian/postinst",
        "packaging/debian/prerm",
        "packaging/debian/postrm",
    ],
)
def test_shell_scripts_pass_shellcheck(script: str) -> None:
    """Shell is short here, and checked."""
    if shutil.which("shellcheck") is None:
        pytest.skip("install shellcheck")

    ended = subprocess.run(["shellcheck", PROJECT / script], capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout
