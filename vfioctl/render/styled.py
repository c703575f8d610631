"""Lines of text with a style per piece, before anybody knows whether there will be colours."""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

Piece: TypeAlias = tuple[str, str]
"""Text, and the name of its style (see `vfioctl.render.terminal.STYLES`); an empty name is plain."""

Line: TypeAlias = "Sequence[Piece]"


def plain_text(lines: Iterable[Line]) -> str:
    """Return the text alone, without blanks at the ends of lines."""
    return "".join("".join(text for text, _ in line).rstrip(" ") + "\n" for line in lines)


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def fitted(text: str, width: int) -> str:
    """Shorten a text to a width; an ellipsis shows that there was more."""
    if width_of(text) <= width:
        return text
    kept = text[: max(width, 0)]
    while kept and width_of(kept) > width - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…" if width > 0 else ""


def wrapped(text: str, width: int) -> list[str]:
    """Break a text at blanks into lines of a width; a word that is longer stays whole."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and width_of(longer) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line]
