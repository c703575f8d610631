"""Regular expressions that are compiled late: what re.compile makes of the same text."""

from __future__ import annotations

import re

import pytest

from vfioctl.model.pattern import pattern


def test_it_does_what_a_compiled_one_does() -> None:
    """Methods and attributes, for text and for bytes."""
    word = pattern(r"(?i)([a-f]+)-(\d+)")

    for _ in range(2):
        found = word.fullmatch("AB-12")
        assert found is not None
        assert found.groups() == ("AB", "12")
    assert word.search("x ab-1").start() == 2  # type: ignore[union-attr]
    assert word.sub(r"\2", "a-1 b-2") == "1 2"
    assert word.pattern == r"(?i)([a-f]+)-(\d+)"
    assert pattern(rb"\n[^\t]").search(b"a\nb", 1).span() == (1, 3)  # type: ignore[union-attr]


def test_nothing_is_compiled_before_it_is_used() -> None:
    """A wrong one is a mistake of the program, told by whoever uses it."""
    wrong = pattern("(")

    with pytest.raises(re.error, match="missing"):
        wrong.fullmatch("")


def test_what_a_compiled_one_does_not_have_is_an_error() -> None:
    """As with any object."""
    with pytest.raises(AttributeError, match="wholematch"):
        pattern("a").wholematch  # type: ignore[attr-defined] # noqa: B018
