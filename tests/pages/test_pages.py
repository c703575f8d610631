"""Every line that README, guides and man pages tell to type is run; how, stands in tests/golden/pages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import pytest

from tests.in_process import Program
from tests.pages import typed
from tests.pages.stage import Ran, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.golden_files import GoldenFiles

LINES: Final[dict[str, list[str]]] = defaultdict(list)
for one in typed.everything():
    LINES[one.page].append(one.line)

CODES: Final = {0, 10}
"""What a line may end with, where it did what it is there for: 10 is the word for drift."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return hosts, files and stand-ins, with a plugin that answers: its socket wants a short name."""
    with Stage(tmp_path_factory.mktemp("p"), Program()) as made:
        yield made


def tried(line: str, stage: Stage) -> str:
    """Run a line in the way that is fit for it; return the way, in words."""
    if line.startswith(typed.SHOWN):
        return "printed as shown, compared elsewhere"
    if line.startswith("git clone"):
        return "not here: a checkout is what the tests run in"
    if line.startswith("make "):
        targets = [word for word in line.split()[1:] if "=" not in word]
        subprocess.run(
            ["make", "--dry-run", *line.split()[1:]], cwd=typed.PROJECT, check=True, capture_output=True
        )
        return f"make --dry-run {' '.join(targets)}"
    if line.startswith("python -m tests.lab"):
        command = [sys.executable, *line.split()[1:], "--help"]
        subprocess.run(command, cwd=typed.PROJECT, check=True, capture_output=True)
        return "with --help; the lab is a stage of make test"
    return _told(line, stage.run(line))


def _told(line: str, ran: Ran) -> str:
    # 1 is doctor's word for a host that is not ready.
    assert ran.code in CODES or (ran.code == 1 and "vfioctl doctor" in line), f"{line}\n{ran.said}"
    return f"{ran.how}, where 65:00 is {ran.host}" + (f", exit code {ran.code}" if ran.code else "")


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize("page", LINES)
def test_every_line_of_a_page_can_be_typed(page: str, stage: Stage, golden: GoldenFiles) -> None:
    """By a shell, with the program itself, on a host that has what the pages name."""
    ways = [f"{line}\n    {tried(line, stage)}\n" for line in LINES[page]]

    golden.check(f"pages/{page}.txt", "".join(ways))


@pytest.mark.parametrize("page", tuple(typed.pages()), ids=lambda page: page.name)
def test_no_line_is_overlooked(page: Path) -> None:
    """A line with a program that this does not know would not be run."""
    assert typed.overlooked(page) == []


@pytest.mark.slow
def test_a_line_that_is_wrong_is_found(stage: Stage) -> None:
    """An option, a command, a device, a program that is not there, or a pipe that fails."""
    for line in (
        "vfioctl scan --colour",
        "vfioctl scam",
        "vfioctl show 66:00.0",
        "vfioctl scan | false",
        "nothing",
    ):
        with pytest.raises(AssertionError, match=re.escape(line)):
            tried(line, stage)


def test_the_lines_are_found() -> None:
    """All pages have some, the man pages of commands too."""
    assert {"README.md", "CONTRIBUTING.md", "containers.md", "kubelet.md", "libvirt.md", "plugin.md"} <= {
        *LINES
    }
    assert sum(map(len, LINES.values())) > 200
    without = {path.name for path in (typed.PROJECT / "man").glob("*.8")} - {*LINES}
    assert without == set()
