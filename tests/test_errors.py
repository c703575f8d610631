"""The kinds of errors, seen together."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from vfioctl.errors import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, VfioctlError, exit_codes

if TYPE_CHECKING:
    from collections.abc import Iterator


def kinds(kind: type[VfioctlError] = VfioctlError) -> Iterator[type[VfioctlError]]:
    """Yield a kind and every kind below it; a room's own kinds carry the code of what they are kinds of."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == VfioctlError.__module__:
            yield from kinds(below)


KINDS: Final = list(kinds())


def test_exit_codes_are_distinct() -> None:
    """A script can tell every kind from every other."""
    codes = Counter(kind.exit_code for kind in KINDS)

    assert [code for code, count in codes.items() if count > 1] == []


def test_the_kinds_own_the_codes_1_to_10() -> None:
    """Every documented code belongs to a kind, and none is left over."""
    assert sorted(kind.exit_code for kind in KINDS) == list(range(1, 11))


def test_words_for_the_kinds_are_distinct() -> None:
    """The `code` of an error document names one kind."""
    assert len({kind.code for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_each_kind_says_what_its_code_means(kind: type[VfioctlError]) -> None:
    """Each kind has its own word and its own meaning, not those it inherits."""
    assert {"exit_code", "code", "meaning"} <= set(vars(kind))
    assert kind.meaning.strip()
    assert kind.__doc__


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_an_error_cannot_be_made_without_a_hint(kind: type[VfioctlError]) -> None:
    """What to do next is not optional."""
    with pytest.raises(TypeError, match="hint"):
        kind("it broke")  # type: ignore[call-arg]

    assert kind("it broke", hint="mend it").hint == "mend it"


def test_the_table_holds_every_code_once_in_order() -> None:
    """Man pages and README print this table."""
    codes = [code for code, _ in exit_codes()]

    assert codes == sorted({0, *(kind.exit_code for kind in KINDS), EXIT_INTERRUPTED, EXIT_BROKEN_PIPE})
