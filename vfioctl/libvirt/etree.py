"""lxml's etree, imported without what it names and nobody here uses.

For parsers with a target of one's own lxml imports ``inspect``, with ``ast``, ``dis`` and ``tokenize`` behind
it; for compressed files ``gzip``; for one annotation ``typing``: nearly half of its import time. Meanwhile
stand-ins take their place, which load the real ones on use.
"""

from __future__ import annotations

import sys
from types import ModuleType


class _Generic:
    """What a class inherits from to be ``Class[type]`` for type checkers."""

    @classmethod
    def __class_getitem__(cls, _item: object) -> type[_Generic]:
        return cls


_STAND_INS: dict[str, dict[str, object]] = {
    "inspect": {"getfullargspec": lambda function: __import__("inspect").getfullargspec(function)},
    "gzip": {"GzipFile": lambda *given, **named: __import__("gzip").GzipFile(*given, **named)},
    "typing": {"Generic": _Generic, "TypeVar": str},
}


def _load() -> None:
    """Import lxml, with a stand-in for each of these that nobody has imported yet."""
    placed = [name for name in _STAND_INS if name not in sys.modules]
    for name in placed:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__dict__.update(_STAND_INS[name])
    try:
        __import__("lxml.etree")
    finally:
        for name in placed:
            del sys.modules[name]


_load()

from lxml import etree  # noqa: E402 - with its stand-ins in place

__all__ = ["etree"]
