"""Styled lines on a terminal, by rich; the only place that chooses colours."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from rich.console import Console
from rich.segment import Segment, Segments
from rich.text import Text
from rich.theme import Theme

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

    from vfioctl.render.styled import Line

STYLES = {
    "title": "bold",
    "good": "green",
    "bad": "bold red",
    "warn": "yellow",
    "unknown": "magenta",
    "faint": "dim",
    "strong": "bold",
    "command": "bold cyan",
    "added": "green",
    "removed": "red",
}
"""Every style by its name; the eight colours that a terminal's own palette decides."""


class PipeAwareConsole(Console):
    """A console that leaves it to the caller what a closed pipe means; rich itself would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Raise it again."""
        raise BrokenPipeError


def console_for(stream: IO[str], *, colored: bool = True) -> Console:
    """Make a console that writes colours and changes nothing: no markup, no emoji, no highlighting."""
    return PipeAwareConsole(
        file=stream,
        force_terminal=True,
        # What the environment says would win over --color otherwise.
        no_color=not colored,
        color_system="standard" if colored else None,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=True,
        theme=Theme(STYLES),
    )


def _runs(lines: Iterable[Line]) -> Iterator[tuple[str, str]]:
    """Yield text and its style; neighbours of one style are one piece, which saves escape sequences."""
    for line in lines:
        for style, pieces in groupby(line, key=itemgetter(1)):
            yield "".join(piece for piece, _ in pieces), style
        yield "\n", ""


def text_of(lines: Iterable[Line]) -> Text:
    """Put lines together as one text."""
    text = Text(no_wrap=True, overflow="ignore", end="")
    for piece, style in _runs(lines):
        text.append(piece, style or None)
    return text


def print_colored(lines: Iterable[Line], stream: IO[str]) -> None:
    """Print lines in colour.

    What they consist of goes to the stream as it is: rich is not asked to lay out a text whose layout is
    done, which would take twenty times as long.
    """
    console = console_for(stream)
    styles = {name: console.get_style(name) for name in STYLES}
    console.print(Segments(Segment(text, styles.get(style)) for text, style in _runs(lines)), end="")
