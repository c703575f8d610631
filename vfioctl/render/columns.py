"""Rows of cells in aligned columns, as wide as they are or fitted to a terminal."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.render.styled import fitted, width_of
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.render.styled import Line

GAP = "  "


class Column(NamedTuple):
    """How one column behaves."""

    title: str
    least: int | None = None
    """The width it may be shortened to when the terminal is narrow; None: never."""
    right: bool = False
    """Whether numbers in it are aligned at the right."""


def lay_out(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None = None,
    styles: Iterable[Sequence[str]] | None = None,
) -> Iterator[Line]:
    """Yield a line of titles and one line per row; without a width, nothing is shortened.

    Without styles a line is one piece: thousands of rows are formatted by one template.
    """
    widths = _widths(columns, rows)
    if width is not None:
        widths = _squeezed(columns, widths, width)
    titles = [column.title for column in columns]
    if styles is None:
        template = _template(columns, widths)
        for row in (titles, *rows):
            fits = all(map(int.__le__, map(len, row), widths)) and "".join(row).isascii()
            yield [(template % tuple(row), "")] if fits else [("".join(_cells(columns, widths, row)), "")]
        return
    yield [(cell, "title") for cell in _cells(columns, widths, titles)]
    for row, names in zip(rows, styles, strict=True):
        yield list(zip(_cells(columns, widths, row), names, strict=True))


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    by_column = list(zip(*rows, strict=True)) or [()] * len(columns)
    return [
        max(len(column.title), max(map(len if "".join(cells).isascii() else width_of, cells), default=0))
        for column, cells in zip(columns, by_column, strict=True)
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


def _template(columns: Sequence[Column], widths: Sequence[int]) -> str:
    cells = [f"%{'' if column.right else '-'}{width}s" for column, width in zip(columns, widths, strict=True)]
    return GAP.join(cells)


def _cells(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> Iterator[str]:
    """Yield the cells of a row, shortened and padded, each but the last with the gap behind it."""
    last = len(columns) - 1
    for index, text in enumerate(row):
        shown = text if text.isascii() and len(text) <= widths[index] else fitted(text, widths[index])
        padding = " " * (widths[index] - width_of(shown))
        if columns[index].right:
            yield padding + shown + (GAP if index != last else "")
        else:
            yield shown if index == last else shown + padding + GAP
