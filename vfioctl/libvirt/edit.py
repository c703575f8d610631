"""A domain's XML with devices put in or taken out; every other byte of it stays as it is."""

from __future__ import annotations

import re

from vfioctl.errors import UsageError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vfioctl.libvirt.source import Source, Span

_INDENT_BEFORE = re.compile(rb"\n([ \t]*)\Z")
_BLANKS = b" \t\r\n"
_STEP = b"  "
_ASCII = re.compile(rb"<\?xml[^>]*encoding\s*=\s*[\"'](?:us-)?ascii[\"']", re.IGNORECASE)


def with_devices(source: Source, fragments: Sequence[Sequence[str]]) -> bytes:
    """Return the file with elements, given as lines, at the end of its devices.

    Raises:
        UsageError: there is no place for them.

    """
    devices = source.only("devices", 1)
    if devices is None:
        lines = ["<devices>", *(f"  {line}" for fragment in fragments for line in fragment), "</devices>"]
        return _appended(source, _domain(source), lines)
    return _appended(source, devices, [line for fragment in fragments for line in fragment])


def with_domain_element(source: Source, lines: Sequence[str]) -> bytes:
    """Return the file with an element at the end of the domain itself; raises as `with_devices`."""
    return _appended(source, _domain(source), lines)


def without(source: Source, spans: Iterable[Span]) -> bytes:
    """Return the file without some elements, their own comments and the white space before them."""
    content = source.content
    for span in sorted(spans, key=_start, reverse=True):
        before = content[: span.start].rstrip(_BLANKS)
        content = before + content[span.end :]
    return content


def own_comment(source: Source, span: Span, name: str) -> Span | None:
    """Return the comment right before an element if it speaks of the device of this name."""
    for other in source.spans:
        if other.name or other.end > span.start or source.content[other.end : span.start].strip(_BLANKS):
            continue
        words = other.text.split()
        if words and words[0] == name:
            return other
    return None


def _domain(source: Source) -> Span:
    domain = source.only("domain", 0)
    if domain is None:
        raise UsageError(f"{source.path} holds no <domain>", hint="give what virsh dumpxml wrote")
    return domain


def _start(span: Span) -> int:
    return span.start


def _appended(source: Source, parent: Span, lines: Sequence[str]) -> bytes:
    """Put lines at the end of an element, below each other, indented as what stands there."""
    content = source.content
    break_ = b"\r\n" if b"\r\n" in content else b"\n"
    outer = _indent_at(content, parent.start) or b""
    inner = next(
        (found for child in source.below(parent) if (found := _indent_at(content, child.start)) is not None),
        outer + _STEP,
    )
    errors = "xmlcharrefreplace" if _ASCII.match(content) else "strict"
    charset = "ascii" if errors == "xmlcharrefreplace" else "utf-8"
    new = b"".join(break_ + inner + line.encode(charset, errors) for line in lines)
    if parent.inside is None:
        tag = content[parent.start : parent.end].removesuffix(b"/>").rstrip(_BLANKS)
        closing = break_ + outer + f"</{parent.name}>".encode()
        return content[: parent.start] + tag + b">" + new + closing + content[parent.end :]
    at = len(content[: parent.inside].rstrip(_BLANKS))
    return content[:at] + new + content[at:]


def _indent_at(content: bytes, index: int) -> bytes | None:
    """Return the blanks that a line begins with, if what stands at an index is the first in it."""
    found = _INDENT_BEFORE.search(content, max(0, content.rfind(b"\n", 0, index)), index)
    return found[1] if found else None
