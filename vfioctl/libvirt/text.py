"""Elements as text, spelled as libvirt spells them: single quotes, two blanks a level, hex widths."""

from __future__ import annotations

import re

from vfioctl.libvirt.etree import etree
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPES = str.maketrans(
    # White space other than blanks would come back as a blank from an attribute.
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
    | {"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
_INDENT = "  "


def element(tag: str, /, **attributes: object) -> etree._Element:
    """Make an element; attributes that are None are left out, a trailing ``_`` of a name as well.

    Raises:
        ValueError: a value holds a character that XML does not have.

    """
    made = etree.Element(tag)
    for name, value in attributes.items():
        if value is not None:
            made.set(name.rstrip("_"), str(value))
    return made


def append(parent: etree._Element, tag: str, /, **attributes: object) -> etree._Element:
    """Make an element below another one."""
    made = element(tag, **attributes)
    parent.append(made)
    return made


def yes_no(value: bool | None) -> str | None:  # noqa: FBT001 - the value itself
    """Spell a switch of the kind ``yes``/``no``."""
    return None if value is None else "yes" if value else "no"


def on_off(value: bool | None) -> str | None:  # noqa: FBT001 - the value itself
    """Spell a switch of the kind ``on``/``off``."""
    return None if value is None else "on" if value else "off"


def comment(text: str) -> str:
    """Return a comment that says something, whatever is in it: ``--`` would end it."""
    safe = text if text.isprintable() else "".join(map(_shown, text))
    return f"<!-- {re.sub('-(?=-|$)', '- ', safe)} -->"


def _shown(letter: str) -> str:
    """Return a character as it is, or its number: XML has none for most controls, surrogates, U+FFFE."""
    if letter in "\t\r\n":
        return " "
    return letter if letter.isprintable() else f"\\u{ord(letter):04x}"


def lines(node: etree._Element, depth: int = 0) -> Iterator[str]:
    """Yield the lines of an element that holds elements only."""
    indent, tag = _INDENT * depth, str(node.tag)
    attributes = "".join(f" {name}='{value.translate(_ESCAPES)}'" for name, value in _attributes(node))
    if len(node) == 0:
        yield f"{indent}<{tag}{attributes}/>"
        return
    yield f"{indent}<{tag}{attributes}>"
    for child in node:
        yield from lines(child, depth + 1)
    yield f"{indent}</{tag}>"


def _attributes(node: etree._Element) -> Iterator[tuple[str, str]]:
    for name, value in node.attrib.items():
        yield str(name), str(value)
