from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vfioctl.model.likeness import between

MEMBERS = st.lists(st.sampled_from([object() for _ in range(3)]), max_size=6)


@given(MEMBERS, MEMBERS)
def test_outside_of_it_both_are_the_same_and_no_more_is_in_it_than_must_be(
    then: list[object], now: list[object]
) -> None:
    """By identity: what is equal and another object is read again."""
    old, new = between(then, now)
    assert then[: old.start] == now[: new.start]
    assert then[old.stop :] == now[new.stop :]
    inside, others = then[old], now[new]
    if inside and others:
        assert inside[0] is not others[0]
        assert inside[-1] is not others[-1]
    assert len(then) - len(inside) == len(now) - len(others)
