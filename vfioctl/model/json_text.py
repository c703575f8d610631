"""Values as JSON on one line, without the json package: importing its decoder would cost more than encoding.

ASCII only: bytes that were not UTF-8 and characters that steer a terminal are escaped by JSON itself.
"""

from __future__ import annotations

try:
    from _json import encode_basestring_ascii
except ImportError:  # an interpreter without the accelerator
    from json.encoder import py_encode_basestring_ascii as encode_basestring_ascii

quoted = encode_basestring_ascii
"""Encode a text, with its quotation marks."""


def encode(value: object) -> str:
    """Encode a value of a document: text, whole numbers, booleans, None, lists and dictionaries of such.

    Raises:
        TypeError: it is something else.

    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case int():
            return int.__repr__(value)
        case list() | tuple():
            return f"[{', '.join(map(encode, value))}]"
        case dict():
            members = (f"{quoted(key)}: {encode(member)}" for key, member in value.items())
            return f"{{{', '.join(members)}}}"
        case _:
            raise TypeError(f"no document holds a {type(value).__name__}")
