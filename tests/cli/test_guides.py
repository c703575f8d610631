"""The guides in docs/: what they show is what is printed, and what they tell to type is understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from vfioctl.cli.tree import root

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

    from tests.cli.conftest import Ask

DOCS: Final = Path(__file__).parents[2] / "docs"
GUIDES: Final = ("containers.md", "kubevirt.md", "plugin.md")
PROMPT: Final = "$ vfioctl --root sample "


def blocks(name: str) -> Iterator[list[str]]:
    """Yield the indented blocks of a guide, line by line."""
    block: list[str] = []
    for line in [*(DOCS / name).read_text(encoding="utf-8").splitlines(), "end"]:
        if line.startswith("    "):
            block.append(line[4:])
        elif block:
            yield block
            block = []


SHOWN: Final = [(name, block) for name in GUIDES for block in blocks(name) if block[0].startswith(PROMPT)]
WHERE: Final = r"(?:^|\$\(|[|&] |sudo |^ExecStart=/usr/bin/)"
"""What stands before a command that is typed."""

TYPED: Final = [
    (name, found)
    for name in GUIDES
    for block in blocks(name)
    if not block[0].startswith(PROMPT)
    for line in block
    for found in re.findall(WHERE + r"vfioctl ([^|)>]*)", re.sub(r" +# .*", "", line))
]


def understood(words: list[str]) -> list[str]:
    """Return the command that arguments lead to; Click raises where it does not understand them."""
    context: click.Context | None = None
    command: click.Command = root
    path: list[str] = []
    while True:
        context = command.make_context(path[-1] if path else "vfioctl", words, parent=context)
        if not hasattr(command, "resolve_command"):
            return path
        words = [*context._protected_args, *context.args]
        name, command, words = command.resolve_command(context, words)
        path.append(name)


@pytest.mark.parametrize(("name", "block"), SHOWN, ids=range(len(SHOWN)))
def test_what_is_shown_is_printed(name: str, block: list[str], ask: Ask) -> None:
    """Every block with a prompt, to the letter."""
    ended = ask(*shlex.split(block[0].removeprefix(PROMPT)), host="sample")

    assert ended.code == 0, name
    assert ended.out.splitlines() == block[1:]


@pytest.mark.parametrize(("name", "line"), TYPED, ids=range(len(TYPED)))
def test_what_is_to_be_typed_is_understood(name: str, line: str) -> None:
    """Commands and options exist; what they do to a host is tested elsewhere."""
    assert understood(shlex.split(line)), name


def test_the_guides_are_found() -> None:
    """No block read would make every test above pass."""
    assert len(SHOWN) >= 7
    assert len(TYPED) >= 15
    assert "cdi list" in [line.strip() for _, line in TYPED]
