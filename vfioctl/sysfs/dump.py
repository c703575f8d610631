r"""A recorded host as text that a person can review, compare and edit.

::

    # vfioctl host dump 1
    # origin: a workstation, Linux 6.12
    P: /sys/devices/pci0000:00/0000:00:1f.2     a folder; the lines below it are its entries
    A: vendor=0x8086\n                          a file; \n \t \\ and \xNN (one byte) are escapes
    H: config=8680228c                          a file in hex; aa*48 is a byte repeated
    H+ 00*60                                    more of the same file
    L: driver=../../../bus/pci/drivers/ahci     a link
    D: rom=EACCES                               could not be read, and why

Every line is printable UTF-8. Lines starting with ``#`` are comments, empty lines mean nothing.
"""

from __future__ import annotations

import re

from vfioctl.errors import UsageError
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs.entries import MAX_FILE, Denied, Directory, EntryError, File, Intake, Link, complete
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.sysfs.entries import Entry

HEADER = "# vfioctl host dump 1"
"""The first line of every dump; the number grows when the form changes."""

MAX_DUMP = 64 << 20
"""Bytes of dump text, and of all files that one dump describes: it is held in memory."""

_ROW = 32
"""Bytes of a binary file per line."""

_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")


class Dump(NamedTuple):
    """A parsed dump: its comments without the leading ``#``, and its entries in path order."""

    comments: tuple[str, ...]
    entries: tuple[Entry, ...]


def format_dump(entries: Iterable[Entry], comments: Iterable[str] = ()) -> str:
    """Write entries as dump text; the same entries always give the same text."""
    lines = [HEADER, *(f"# {escape(_raw(comment))}".rstrip() for comment in comments)]
    ordered = complete(entries)
    parents = {entry.path.rpartition("/")[0] for entry in ordered}
    children: dict[str, list[File | Link | Denied]] = {}
    for entry in ordered:
        if isinstance(entry, Directory):
            if entry.path not in parents:
                children.setdefault(entry.path, [])
        else:
            children.setdefault(entry.path.rpartition("/")[0], []).append(entry)
    for folder in sorted(children, key=lambda path: path.split("/")):
        lines += ["", f"P: {escape(_raw(folder or '/'))}"]
        for entry in children[folder]:
            lines += _entry_lines(entry)
    return "\n".join(lines) + "\n"


def parse_dump(text: str, source: str = "dump") -> Dump:
    """Read dump text; raises UsageError naming the source and the line."""
    parser = _Parser()
    try:
        for line in text.split("\n"):
            parser.line(line)
        return parser.result()
    except EntryError as error:
        message = f"{source}, line {parser.number}: {error}"
        raise UsageError(message, hint="make the dump again with: vfioctl snapshot save FILE.txt") from None


def escape(raw: bytes) -> str:
    r"""Spell bytes as printable text: ``\n``, ``\t``, ``\\``, and ``\xNN`` for each other awkward byte."""
    text = raw.decode("utf-8", "surrogateescape")
    if not text.isprintable() or "\\" in text:
        text = "".join(map(_escape_character, text))
    return f"{text[:-1]}\\x20" if text.endswith(" ") else text


def unescape(text: str) -> bytes:
    """Return the bytes that `escape` spelled; raises EntryError for an escape it never writes."""
    return _ESCAPE.sub(_unescape_one, text.encode()) if "\\" in text else text.encode()


_NAMED = {"\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.?)", re.DOTALL)
_MEANING = {b"\\": b"\\", b"n": b"\n", b"t": b"\t"}


def _escape_character(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in _raw(character))


def _unescape_one(match: re.Match[bytes]) -> bytes:
    word = match.group(1)
    if len(word) == len(b"xNN"):
        return bytes.fromhex(word[1:].decode())
    if word not in _MEANING:
        raise EntryError(f"unknown escape {match.group().decode(errors='replace')!r}")
    return _MEANING[word]


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _entry_lines(entry: File | Link | Denied) -> Iterator[str]:
    name = escape(_raw(entry.path.rpartition("/")[2])).replace("=", "\\x3d")
    match entry:
        case File(content=content):
            text = escape(content)
            # Hex where it is the shorter spelling: a config space, but not a command line with zeros in it.
            if len(text) > 2 * len(content) + 1:
                yield from _hex_lines(name, content)
            else:
                yield f"A: {name}={text}"
        case Link(target=target):
            yield f"L: {name}={escape(_raw(target))}"
        case Denied(errno=errno):
            yield f"D: {name}={errno}"


def _hex_lines(name: str, content: bytes) -> Iterator[str]:
    lead = f"H: {name}="
    for chunk, count in _rows(content):
        yield f"{lead}{chunk[:1].hex()}*{count * _ROW}" if count > 1 else f"{lead}{chunk.hex()}"
        lead = "H+ "


def _rows(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Cut content into rows, and count how often a row of one repeated byte follows itself."""
    start = 0
    while start < len(content):
        row = content[start : start + _ROW]
        count = 1
        if row == row[:1] * _ROW:
            while content.startswith(row, start + count * _ROW):
                count += 1
        yield row, count
        start += count * _ROW


_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_REPEAT = re.compile(r"([0-9a-f]{2})\*([1-9][0-9]{0,8})")


def _from_hex(text: str) -> bytes:
    if repeat := _REPEAT.fullmatch(text):
        size = int(repeat[2])
        if size > MAX_FILE:
            raise EntryError(f"a repetition of more than {MAX_FILE >> 20} MiB")
        return bytes.fromhex(repeat[1]) * size
    if not _HEX.fullmatch(text):
        raise EntryError("not an even number of lower-case hex digits, nor a byte and a count as in 00*64")
    return bytes.fromhex(text)


_ERRNO = re.compile(r"E[A-Z0-9]{2,31}")


class _Parser:
    """Reads line after line; raises EntryError."""

    def __init__(self) -> None:
        self._intake = Intake(MAX_DUMP)
        self._comments: list[str] = []
        self._entries: list[Entry] = []
        self._folder: str | None = None
        self._hex_path: str | None = None
        self._hex = bytearray()
        self.number = 0

    def line(self, line: str) -> None:
        self.number += 1
        if self.number == 1:
            if line != HEADER:
                raise EntryError(f"the first line is not {HEADER!r}")
        elif _CONTROL.search(line):
            raise EntryError("a control character that is not escaped")
        elif line.startswith("#"):
            self._comments.append(_text(line[1:].removeprefix(" ")))
        elif line.startswith("H+ "):
            self._more_hex(line[3:])
        elif line:
            self._finish_hex()
            self._entry(line[:3], line[3:])

    def result(self) -> Dump:
        self._finish_hex()
        return Dump(tuple(self._comments), complete(self._entries))

    def _entry(self, key: str, rest: str) -> None:
        if key == "P: ":
            self._open_folder(_text(rest))
            return
        name, equals, value = rest.partition("=")
        if key not in {"A: ", "H: ", "L: ", "D: "} or not equals:
            raise EntryError("not a line of a dump: 'P: folder', or 'A:', 'H:', 'L:' or 'D:' and name=value")
        if self._folder is None:
            raise EntryError("an entry before the first 'P:' line")
        name = _text(name)
        if "/" in name:
            raise EntryError(f"a slash in the name {name!r}")
        self._named(key, f"{self._folder}/{name}", value)

    def _open_folder(self, path: str) -> None:
        self._folder = "" if path == "/" else path
        if self._folder:
            self._intake.directory(self._folder)
            self._entries.append(Directory(self._folder))

    def _named(self, key: str, path: str, value: str) -> None:
        match key:
            case "A: ":
                self._intake.file(path)
                self._add_file(path, unescape(value))
            case "H: ":
                self._intake.file(path)
                self._hex_path = path
                self._more_hex(value)
            case "L: ":
                target = _text(value)
                self._intake.link(path, target)
                self._entries.append(Link(path, target))
            case _:
                self._add_denied(path, value)

    def _add_denied(self, path: str, errno: str) -> None:
        if not _ERRNO.fullmatch(errno):
            raise EntryError(f"{errno!r} is not the name of an error, as EACCES is")
        self._intake.denied(path)
        self._entries.append(Denied(path, errno))

    def _more_hex(self, text: str) -> None:
        if self._hex_path is None:
            raise EntryError("'H+' without an 'H:' line before it")
        row = _from_hex(text)
        if len(self._hex) + len(row) > MAX_FILE:
            raise EntryError(f"{self._hex_path!r} is larger than {MAX_FILE >> 20} MiB")
        self._hex += row

    def _finish_hex(self) -> None:
        if self._hex_path is not None:
            self._add_file(self._hex_path, bytes(self._hex))
            self._hex_path, self._hex = None, bytearray()

    def _add_file(self, path: str, content: bytes) -> None:
        self._intake.content(path, len(content))
        self._entries.append(File(path, content))


def _text(escaped: str) -> str:
    try:
        return unescape(escaped).decode()
    except UnicodeDecodeError:
        raise EntryError(f"the name {escaped!r} is not UTF-8") from None
