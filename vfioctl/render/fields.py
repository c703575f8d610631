"""Labelled facts: a label, then text that is wrapped below itself."""

from __future__ import annotations

from vfioctl.render.styled import wrapped
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.render.styled import Line

LABEL = 12
"""Columns a label takes, with the gap behind it."""


def field(
    label: str, texts: Iterable[str], *, width: int | None, indent: int = 2, style: str = ""
) -> Iterator[Line]:
    """Yield lines for a label and its texts, each text on lines of its own; an empty label takes no room."""
    margin = " " * indent
    head = f"{label:<{LABEL}}" if label else ""
    room = None if width is None else width - indent - len(head)
    for text in texts:
        shown = visible(text)
        for line in [shown] if room is None else wrapped(shown, room):
            yield [(margin, ""), (head, "faint"), (line, style)]
            head = " " * len(head)
