"""Aligned columns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vfioctl.render.columns import Column, lay_out
from vfioctl.render.styled import fitted, plain_text, width_of, wrapped

COLUMNS = (Column("ADDRESS"), Column("N", right=True), Column("NAME", least=6))


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """Text to the left, numbers to the right, nothing behind the last column."""
    text = plain_text(lay_out(COLUMNS, [("0000:01:00.0", "1", "short"), ("a", "100", "much longer")]))

    assert text == ("ADDRESS         N  NAME\n0000:01:00.0    1  short\na             100  much longer\n")


def test_a_narrow_terminal_shortens_what_may_be_shortened() -> None:
    """An ellipsis shows that there was more."""
    text = plain_text(lay_out(COLUMNS, [("0000:01:00.0", "1", "a very long name")], width=24))

    assert text.splitlines()[1] == "0000:01:00.0  1  a very…"


def test_what_may_not_be_shortened_stays_whole() -> None:
    """An address is copied, so the line is too long instead."""
    text = plain_text(lay_out(COLUMNS, [("0000:01:00.0", "1", "a very long name")], width=10))

    assert text.splitlines()[1] == "0000:01:00.0  1  a ver…"


def test_wide_letters_count_twice() -> None:
    """What follows them stays aligned."""
    lines = plain_text(lay_out((Column("A"), Column("B")), [("東芝", "x"), ("four", "y")])).splitlines()

    assert lines[1:] == ["東芝  x", "four  y"]


def test_styles_change_no_letter() -> None:
    """With a style per cell, the text is the same."""
    rows = [("0000:01:00.0", "1", "GA102 [GeForce]"), ("東", "22", "x" * 30)]

    styled = lay_out(COLUMNS, rows, width=30, styles=[["a", "b", "c"]] * 2)

    assert plain_text(styled) == plain_text(lay_out(COLUMNS, rows, width=30))


def test_no_rows_are_titles_only() -> None:
    """An empty list is a list."""
    assert plain_text(lay_out(COLUMNS, [])) == "ADDRESS  N  NAME\n"


@given(st.text(alphabet="ab 東é\u0301", max_size=30), st.integers(0, 20))
def test_a_fitted_text_fits(text: str, width: int) -> None:
    """And is the text itself where there is room."""
    assert width_of(fitted(text, width)) <= width
    if width_of(text) <= width:
        assert fitted(text, width) == text


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=8), min_size=1), st.integers(8, 40))
def test_wrapping_keeps_every_word(words: list[str], width: int) -> None:
    """In order, and within the width."""
    lines = wrapped(" ".join(words), width)

    assert " ".join(lines).split() == words
    assert all(len(line) <= width for line in lines)
