"""lxml's etree, imported without what it names and nobody here uses.

For parsers with a target of one's own lxml imports ``inspect``, with ``ast``, ``dis`` and ``tokenize`` behind
it: a quarter of its import time. Meanwhile a stand-in takes its place, which loads the real one on use.
"""

from __future__ import annotations

import sys
from types import ModuleType

_NAMED = "inspect"


def _load() -> None:
    """Import lxml, with a stand-in unless somebody has imported the real module already."""
    if _NAMED in sys.modules:
        return
    stand_in = ModuleType(_NAMED)
    stand_in.__dict__["getfullargspec"] = lambda function: __import__(_NAMED).getfullargspec(function)
    sys.modules[_NAMED] = stand_in
    try:
        __import__("lxml.etree")
    finally:
        del sys.modules[_NAMED]


_load()

from lxml import etree  # noqa: E402 - with its stand-in in place

__all__ = ["etree"]
