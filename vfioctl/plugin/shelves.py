"""Mappings that are values: a changed one shares most of itself with the one before.

To copy a dictionary of four thousand entries takes as long as half an answer to the kubelet. Here entries
lie on shelves by their hash, and of a change only the shelves that it concerns are copied.
"""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, TypeAlias, TypeVar

    Key = TypeVar("Key")
    Value = TypeVar("Value")

    Shelves: TypeAlias = "tuple[dict[Key, Value], ...]"

_BITS = 63
"""Of a hash that say on which shelf: 64 of them, as many as entries on each of four thousand."""

EMPTY: Shelves[Any, Any] = ({},) * (_BITS + 1)
"""Nothing; the shelves of a mapping are never written to."""


def found(shelves: Shelves[Key, Value], key: Key) -> Value | None:
    """Return what stands under a key, or None."""
    return shelves[hash(key) & _BITS].get(key)


def replaced(
    shelves: Shelves[Key, Value], changes: Mapping[Key, Value] | Mapping[Key, Value | None]
) -> Shelves[Key, Value]:
    """Return a mapping with other values under some keys; None removes what stood there."""
    parts, fresh = list(shelves), set()
    for key, value in changes.items():
        place = hash(key) & _BITS
        if place not in fresh:
            fresh.add(place)
            parts[place] = dict(parts[place])
        if value is None:
            parts[place].pop(key, None)
        else:
            parts[place][key] = value
    return tuple(parts)


def values(shelves: Shelves[Key, Value]) -> Iterator[Value]:
    """Yield all values, in no order."""
    for part in shelves:
        yield from part.values()


def items(shelves: Shelves[Key, Value]) -> Iterator[tuple[Key, Value]]:
    """Yield all keys with their values, in no order."""
    for part in shelves:
        yield from part.items()


def differences(now: Shelves[Key, Value], then: Shelves[Key, Value]) -> Iterator[tuple[Key, Value | None]]:
    """Yield what stands under which key now and did not then; None where nothing stands there any more."""
    for one, other in zip(now, then, strict=True):
        if one is not other:
            changed = [pair for pair in one.items() if other.get(pair[0]) is not pair[1]]
            yield from (pair for pair in changed if other.get(pair[0]) != pair[1])
            for key in other.keys() - one.keys():
                yield key, None
