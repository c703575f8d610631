"""docs/security.md: each of its claims names a test, and that test is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "security.md"
NAMED = re.compile(r"`([a-z_/]+\.py)::(test_\w+)`")


class Row(NamedTuple):
    """A row of a table whose last column says by what it is shown."""

    claim: str
    shown: tuple[tuple[str, str], ...]


def rows() -> Iterator[Row]:
    """Yield every row of such a table."""
    judged = False
    for line in PAGE.read_text().splitlines():
        if not line.startswith("|"):
            judged = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[-1] == "shown by":
            judged = True
        elif judged and set(cells[0]) - set("-: "):
            yield Row(cells[0], tuple(NAMED.findall(cells[-1])))


@cache
def names_in(name: str) -> frozenset[str]:
    """Return the tests of a file below tests/."""
    path = PROJECT / "tests" / name
    tree = ast.parse(path.read_text()) if path.is_file() else ast.Module([], [])
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_claim_names_a_test_that_is_there() -> None:
    """A claim without one is a wish."""
    found = list(rows())
    named = NAMED.findall(PAGE.read_text())

    assert len(found) > 50
    assert [row.claim for row in found if not row.shown] == []
    assert [f"{file}::{test}" for file, test in named if test not in names_in(file)] == []


def test_every_attack_that_is_tried_is_told() -> None:
    """No test of this folder is without a row, but these about the page itself."""
    told = {test for _, test in NAMED.findall(PAGE.read_text())}
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    there = {
        name
        for path in files
        if path.name != Path(__file__).name
        for name in names_in(f"security/{path.name}")
        if name.startswith("test_")
    }

    assert sorted(there - told) == []
