"""Write the tables of README.md between their markers: python -m tools.readme [--check]."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

from tools.generated import PROJECT, run
from tools.screenshots import printed
from tools.tree import Entry, command_tree, walk
from vfioctl.errors import exit_codes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_EXAMPLE: Final = re.compile(r"<!-- begin generated: example (.+?) -->")

README: Final = PROJECT / "README.md"
"""The file whose tables are generated."""


def files() -> dict[Path, str]:
    """Return the README with current tables, under its path."""
    return {README: readme(README.read_text(encoding="utf-8"), command_tree())}


def readme(text: str, root: Entry) -> str:
    """Return the README's text with current tables."""
    tables = {"commands": command_table(root), "exit-codes": exit_code_table()}
    for name, table in tables.items():
        text = _between(text, name, table)
    for line in _EXAMPLE.findall(text):
        text = _between(text, f"example {line}", example(line))
    return text


def example(line: str) -> str:
    """Return what a command line prints of the sample host, as a code block with its prompt."""
    rows = printed(line.split(), "--no-color").splitlines()
    return "\n".join(f"    {row}".rstrip() for row in (f"$ vfioctl --root sample {line}", *rows))


def command_table(root: Entry) -> str:
    """Return every command that does something, with its arguments and its one line of help."""
    leaves = [entry for entry in walk(root) if not entry.subcommands]
    rows = ((f"`{entry.typed}{_arguments(entry)}`", f"{entry.summary}") for entry in leaves)
    return _table(("command", "does"), rows)


def exit_code_table() -> str:
    """Return every exit code with its meaning."""
    return _table(("code", "meaning"), ((str(code), meaning) for code, meaning in exit_codes()))


def _arguments(entry: Entry) -> str:
    """Return a command's place-holders, each after a blank."""
    return "".join(f" {one.make_metavar(entry.context)}" for one in entry.arguments)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table; a bar inside a cell would end it."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines)


def _between(text: str, name: str, table: str) -> str:
    """Return the text with what stands between the markers of this name replaced."""
    begin, end = f"<!-- begin generated: {name} -->", f"<!-- end generated: {name} -->"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        message = f"README.md has no place for the table: {begin} ... {end}"
        raise SystemExit(message)
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


if __name__ == "__main__":
    sys.exit(run("tools.readme", files()))
