"""Plain text to man(7) source: escaping, filling, and the few macros that a page needs."""

from __future__ import annotations

import re
from typing import Final

_WIDTH: Final = 80
_SPECIAL: Final = {
    "\\": r"\e",
    "-": r"\-",
    "'": r"\(aq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
    '"': r"\(dq",
}
_CODE: Final = re.compile(r"`([^`]+)`")


def escape(text: str) -> str:
    """Return the text with every character that roff would read as its own made literal."""
    return "".join(_SPECIAL.get(one) or (one if one.isascii() else f"\\[u{ord(one):04X}]") for one in text)


def line(text: str) -> str:
    """Return one escaped input line that cannot be taken for a request."""
    escaped = markup(text)
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


def markup(text: str) -> str:
    """Return the escaped text with `code` in bold."""
    # Split by a captured group: plain, code, plain, code, ... plain.
    parts = _CODE.split(text)
    return "".join(bold(part) if index % 2 else escape(part) for index, part in enumerate(parts))


def bold(text: str) -> str:
    """Return the text in bold, as it is typed."""
    return rf"\fB{escape(text)}\fR"


def italic(text: str) -> str:
    """Return the text in italics, as something to be replaced."""
    return rf"\fI{escape(text)}\fR"


def paragraphs(text: str) -> list[str]:
    r"""Return the text as roff lines; \b or an indentation keeps a paragraph's lines as they are."""
    out: list[str] = []
    for block in re.split(r"\n[ \t]*\n", text.strip("\n")):
        if not block.strip():
            continue
        if out:
            out.append(".PP")
        out += _block(block.split("\n"))
    return out


def _block(lines: list[str]) -> list[str]:
    """Return one paragraph, filled or kept."""
    # Click's mark for "do not refill" stands alone on the first line of a paragraph.
    if lines[0].strip() == "\b":
        return kept(lines[1:])
    if all(one.startswith(("    ", "\t")) for one in lines):
        return [".RS 4", *kept([one.removeprefix("    ") for one in lines]), ".RE"]
    return filled(" ".join(one.strip() for one in lines))


def filled(text: str) -> list[str]:
    """Return text that roff may fill, in input lines of at most 80 characters where words allow it."""
    # Code must not be parted from its backticks by the end of a line.
    words = _CODE.sub(lambda code: code.group(0).replace(" ", "\0"), " ".join(text.split())).split()
    lines: list[str] = []
    for word in (one.replace("\0", " ") for one in words):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and len(line(longer)) <= _WIDTH:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line(one) for one in lines]


def kept(lines: list[str]) -> list[str]:
    """Return lines that roff must leave as they are."""
    return [".nf", *(line(one) or r"\&" for one in lines), ".fi"]


def tagged(tag: str, text: str) -> list[str]:
    """Return a tag (roff source already) with its indented text."""
    return [".TP", tag, *(filled(text) or [r"\&"])]
