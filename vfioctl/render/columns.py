"""Rows of cells in aligned columns, as wide as they are or fitted to a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vfioctl.render.styled import fitted, width_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.render.styled import Line, Piece

GAP = "  "


class Column(NamedTuple):
    """How one column behaves."""

    title: str
    least: int | None = None
    """The width it may be shortened to when the terminal is narrow; None: never."""
    right: bool = False
    """Whether numbers in it are aligned at the right."""


def lay_out(columns: Sequence[Column], rows: Sequence[Sequence[Piece]], width: int | None) -> Iterator[Line]:
    """Yield a line of titles and one line per row; without a width, nothing is shortened."""
    widths = _widths(columns, rows)
    if width is not None:
        widths = _squeezed(columns, widths, width)
    yield _line(columns, widths, [(column.title, "title") for column in columns])
    for row in rows:
        yield _line(columns, widths, row)


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Piece]]) -> list[int]:
    return [
        max(width_of(column.title), max((width_of(row[index][0]) for row in rows), default=0))
        for index, column in enumerate(columns)
    ]


def _squeezed(columns: Sequence[Column], widths: list[int], width: int) -> list[int]:
    """Take columns from the widest that may shrink, until the line fits or none may shrink any more."""
    widths = list(widths)
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while excess > 0:
        spare = [
            (widths[index], index)
            for index, column in enumerate(columns)
            if column.least is not None and widths[index] > column.least
        ]
        if not spare:
            break
        widths[max(spare)[1]] -= 1
        excess -= 1
    return widths


def _line(columns: Sequence[Column], widths: Sequence[int], row: Sequence[Piece]) -> Line:
    pieces: list[Piece] = []
    last = len(columns) - 1
    for index, (text, style) in enumerate(row):
        shown = fitted(text, widths[index]) if len(text) > widths[index] or not text.isascii() else text
        padding = " " * (widths[index] - width_of(shown))
        if columns[index].right:
            shown = padding + shown
        elif index != last:
            shown += padding
        pieces.append((shown if index == last else shown + GAP, style))
    return pieces
