"""Names as they may be shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfioctl.render.text import visible, visible_block


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GA102 [GeForce RTX 3090]", "GA102 [GeForce RTX 3090]"),
        ("Ünïcode 東芝", "Ünïcode 東芝"),
        ("no\u00a0break", "no\u00a0break"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b0m", "\\x9b0m"),
        ("tab\tline\nend\r", "tab\\x09line\\x0aend\\x0d"),
        ("\x7f", "\\x7f"),
        ("\udcff", "\\xff"),
        ("\ud800", "\\ud800"),
        ("right\u202eto left", "right\\u202eto left"),
        ("\u200bhidden\ufeff", "\\u200bhidden\\ufeff"),
    ],
)
def test_what_steers_or_hides_is_written_out(text: str, shown: str) -> None:
    """Everything else stays as it is."""
    assert visible(text) == shown


@given(st.text())
def test_no_control_character_remains(text: str) -> None:
    """Neither C0 nor C1, and no half of a pair."""
    kinds = {unicodedata.category(letter) for letter in visible(text)}

    assert kinds.isdisjoint({"Cc", "Cs", "Zl", "Zp"})


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Zl", "Zp"])))
def test_a_name_without_them_is_never_altered(text: str) -> None:
    """Not one letter."""
    assert visible(text) == text


def test_a_block_keeps_its_line_breaks() -> None:
    """And nothing else."""
    assert visible_block("one\ntwo\x1b\r") == "one\ntwo\\x1b\\x0d"
