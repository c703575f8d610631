"""A domain's XML as it stands in a file: bounded, without document type, and where in it what stands.

A document type is the only way to entities, internal or external; no domain of libvirt's has one, so it is
refused before any parser could expand or fetch anything.
"""

from __future__ import annotations

import os
import re
import stat
from xml.parsers import expat

from vfioctl.errors import NotFoundError, NotPermittedError, UsageError
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn

MAX_SIZE = 10 * 1024 * 1024
"""What virsh accepts of a domain's XML, in bytes."""

_ENCODINGS = frozenset({"utf-8", "us-ascii", "ascii"})
_DECLARED = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_DEPTH_OF_DEVICES = 2


class Span(NamedTuple):
    """An element of the file, or a comment: the bytes from ``start`` up to ``end``."""

    name: str
    """The tag as it is written; empty for a comment."""
    start: int
    end: int
    inside: int | None = None
    """Where its end tag starts; None for one that has no content (``<devices/>``)."""
    depth: int = 0
    text: str = ""
    """What a comment says."""


class Source(NamedTuple):
    """A file's bytes, with what stands where: elements and comments down to the single device."""

    path: str
    content: bytes
    spans: tuple[Span, ...]
    """In the order of their ends."""

    def only(self, name: str, depth: int) -> Span | None:
        """Return the first element of a name at a depth."""
        found = [span for span in self.spans if (span.name, span.depth) == (name, depth)]
        return min(found, key=_start, default=None)

    def below(self, parent: Span) -> list[Span]:
        """Return the elements and comments directly below one, in order."""
        found = [
            span
            for span in self.spans
            if span.depth == parent.depth + 1 and parent.start < span.start < parent.end
        ]
        return sorted(found, key=_start)


def _start(span: Span) -> int:
    return span.start


def read_source(path: str) -> Source:
    """Read a domain's XML from a file.

    Raises:
        NotFoundError: there is no such file.
        NotPermittedError: this user may not read it.
        UsageError: it is no regular file, too large, not UTF-8, not XML, or has a document type.

    """
    return parse_source(path, _bytes_of(path))


def parse_source(path: str, content: bytes) -> Source:
    """Find out what stands where; raises UsageError as `read_source` does."""
    _check_encoding(path, content)
    return Source(path, content, _Finder(path, content).spans())


def _bytes_of(path: str) -> bytes:
    try:
        # A FIFO must not keep its reader waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as problem:
        raise NotFoundError(
            f"there is no file {path}", hint=f"make it with: virsh dumpxml --inactive VM > {path}"
        ) from problem
    except PermissionError as problem:
        raise NotPermittedError(f"{path} may not be read", hint="run it as its owner or as root") from problem
    except OSError as problem:
        raise UsageError(f"{path} cannot be read: {problem.strerror}", hint="give a file") from problem
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UsageError(f"{path} is no regular file", hint="give the file of a domain's XML")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_SIZE + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_SIZE:
        raise UsageError(
            f"{path} is larger than {MAX_SIZE // 1024 // 1024} MiB: no domain is",
            hint="give the file that virsh dumpxml wrote",
        )
    return content


def _check_encoding(path: str, content: bytes) -> None:
    declared = _DECLARED.match(content.removeprefix(b"\xef\xbb\xbf"))
    name = declared[1].decode().lower() if declared else "utf-8"
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff", b"\0<", b"<\0"))
    if wide or name not in _ENCODINGS:
        raise UsageError(
            f"{path} is encoded as {'UTF-16' if wide else name}; libvirt writes UTF-8",
            hint="convert it with iconv -t UTF-8, and say UTF-8 in its first line",
        )


class _Finder:
    """Follows a parser through the bytes, and keeps where things start and end."""

    def __init__(self, path: str, content: bytes) -> None:
        self._path = path
        self._content = content
        self._open: list[tuple[str, int]] = []
        self._filled: list[bool] = []
        self._found: list[Span] = []
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CommentHandler = self._comment
        self._parser.CharacterDataHandler = self._fill
        self._parser.ProcessingInstructionHandler = self._fill
        self._parser.StartCdataSectionHandler = self._fill

    def spans(self) -> tuple[Span, ...]:
        """Read it all."""
        try:
            self._parser.Parse(self._content, True)  # noqa: FBT003 - expat's own: this is all
        except expat.ExpatError as problem:
            reason = expat.errors.messages.get(problem.code, "unknown")
            raise UsageError(
                f"{self._path} is not XML: line {problem.lineno}, column {problem.offset}: {reason}",
                hint="give the file that virsh dumpxml wrote",
            ) from None
        return tuple(self._found)

    def _doctype(self, *_: object) -> NoReturn:
        raise UsageError(
            f"{self._path} has a document type (DOCTYPE); no domain of libvirt's has one",
            hint="take it out: entities are neither expanded nor fetched",
        )

    def _start(self, name: str, _attributes: object) -> None:
        self._fill()
        self._open.append((name, self._parser.CurrentByteIndex))
        self._filled.append(False)

    def _fill(self, *_: object) -> None:
        if self._filled:
            self._filled[-1] = True

    def _end(self, _name: str) -> None:
        name, start = self._open.pop()
        filled, index, depth = self._filled.pop(), self._parser.CurrentByteIndex, len(self._open)
        if depth > _DEPTH_OF_DEVICES:
            return
        # At the end of <a/> expat stands behind it, at that of <a></a> before its end tag.
        if not filled and self._content[index - 2 : index] == b"/>":
            self._found.append(Span(name, start, index, None, depth))
        else:
            end = self._content.index(b">", index) + 1
            self._found.append(Span(name, start, end, index, depth))

    def _comment(self, text: str) -> None:
        self._fill()
        depth, start = len(self._open), self._parser.CurrentByteIndex
        if depth <= _DEPTH_OF_DEVICES:
            end = self._content.index(b"-->", start) + 3
            self._found.append(Span("", start, end, None, depth, text))
