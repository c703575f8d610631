"""Values as YAML that every reader understands alike: texts are always quoted.

Releases of YAML disagree about what a bare word is: ``1e07``, ``65:00``, ``0407``, ``no``.
"""

from __future__ import annotations

import json

from vfioctl.model.pattern import pattern
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PLAIN_KEY = pattern(r"[A-Za-z][A-Za-z0-9._/-]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def yaml_text(documents: Iterable[Mapping[str, object]]) -> str:
    """Return documents, with a line between them.

    Raises:
        TypeError: a value is neither mapping, list, text, whole number, boolean nor None.

    """
    return "---\n".join("".join(f"{line}\n" for line in _mapping(document)) for document in documents)


def _mapping(value: Mapping[str, object]) -> Iterator[str]:
    for key, member in value.items():
        name = key if _PLAIN_KEY.fullmatch(key) and key.lower() not in _WORDS else _scalar(key)
        if isinstance(member, dict) and member:
            yield f"{name}:"
            yield from (f"  {line}" for line in _mapping(member))
        elif isinstance(member, list | tuple) and member:
            yield f"{name}:"
            yield from _items(member)
        else:
            yield f"{name}: {_scalar(member)}"


def _items(value: Iterable[object]) -> Iterator[str]:
    for member in value:
        if isinstance(member, dict) and member:
            first, *rest = _mapping(member)
        elif isinstance(member, list | tuple) and member:
            first, *rest = _items(member)
        else:
            first, rest = _scalar(member), []
        yield f"- {first}"
        yield from (f"  {line}" for line in rest)


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool | int) or value in ({}, [], ()):
        return json.dumps(value)
    raise TypeError(f"no YAML here for a {type(value).__name__}")


def _quoted(text: str) -> str:
    # JSON's quoting is YAML's, but for characters of more than 16 bits, of which JSON would make two halves.
    quoted = json.dumps(text, ensure_ascii=False)
    if quoted.isprintable():
        return quoted
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in quoted)
