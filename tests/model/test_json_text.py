"""JSON as the json package writes it."""

from __future__ import annotations

import json
from json.encoder import py_encode_basestring_ascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfioctl.model.json_text import encode, quoted

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_every_value_is_encoded_as_the_json_package_does_it(value: object) -> None:
    """Letter for letter."""
    assert encode(value) == json.dumps(value)


@given(
    st.text(alphabet=st.characters(include_characters="\x00\x1b\x7f\udcff\U0001f600", max_codepoint=0x2FF))
)
def test_the_accelerated_quoting_is_the_other_one(text: str) -> None:
    """An interpreter without the accelerator gives the same."""
    assert quoted(text) == py_encode_basestring_ascii(text)


def test_a_tuple_is_a_list() -> None:
    """Values of the model hold tuples."""
    assert encode(("flr", ("bus",))) == '["flr", ["bus"]]'


@pytest.mark.parametrize("value", [1.5, {1}, b"x"])
def test_what_no_document_holds_is_refused(value: object) -> None:
    """Rather than written in a form nobody expects."""
    with pytest.raises(TypeError, match="no document holds a"):
        encode(value)
