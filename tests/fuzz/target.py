"""A target: a function of bytes, with what it may raise and what its inputs begin with."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Run: TypeAlias = Callable[[bytes], None]

_HERE = Path(__file__).parent
CORPUS = _HERE / "corpus"
"""Inputs worth keeping, by target, named by their hash: seeds, and what once found something."""


class Target(NamedTuple):
    """What a campaign needs to know of one kind of input."""

    name: str
    about: str
    prepare: Callable[[Path], Run]
    """Make the function, which has a folder of its own."""
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]
    """What a mutation puts in: keywords that blind chance would not find."""
    allowed: tuple[type[Exception], ...]
    """What it may raise besides errors in words."""
    share: float
    """Its part of a campaign's inputs; those that go over real sockets are few."""


def names() -> list[str]:
    """Return the targets, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules([str(_HERE / "targets")]))


def load(name: str) -> Target:
    """Return a target by its name."""
    module = import_module(f"tests.fuzz.targets.{name}")
    return Target(
        name=name,
        about=(module.__doc__ or "").partition("\n")[0],
        prepare=module.prepare,
        seeds=(*kept(name), *(_bytes(one) for one in getattr(module, "SEEDS", ()))) or (b"",),
        words=tuple(map(_bytes, getattr(module, "WORDS", ()))),
        allowed=getattr(module, "ALLOWED", ()),
        share=getattr(module, "SHARE", 1.0),
    )


def kept(name: str) -> Iterator[bytes]:
    """Yield the corpus of a target, in the order of its names."""
    folder = CORPUS / name
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        yield path.read_bytes()


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
