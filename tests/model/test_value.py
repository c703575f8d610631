"""The cheap named tuples: what typing's are, without its checks."""

from __future__ import annotations

import copy
import pickle
import typing

import pytest

from vfioctl.model.address import PciAddress
from vfioctl.model.value import NamedTuple


class Point(NamedTuple):
    """A point."""

    x: int
    y: int = 2

    @property
    def total(self) -> int:
        """The sum."""
        return self.x + self.y

    @classmethod
    def origin(cls) -> Point:
        """Return the origin."""
        return cls(0, 0)


class Typed(typing.NamedTuple):
    """The same by typing."""

    x: int
    y: int = 2


def test_it_is_what_typing_makes() -> None:
    """Fields, defaults, equality with plain tuples, keyword construction, replacement, repr."""
    assert Point._fields == Typed._fields
    assert Point._field_defaults == Typed._field_defaults
    assert Point.__match_args__ == Typed.__match_args__
    assert Point(1) == (1, 2) == Typed(1)
    assert Point(y=3, x=1)._replace(x=5) == (5, 3)
    assert repr(Point(1)) == "Point(x=1, y=2)"
    assert hash(Point(1)) == hash((1, 2))


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1})],
    ids=["none", "many", "twice", "unknown", "missing"],
)
def test_a_wrong_call_is_refused(values: tuple[int, ...], named: dict[str, int]) -> None:
    """The first call of a class as well, which makes its constructor."""

    class Fresh(NamedTuple):
        x: int
        y: int = 2

    for kind in (typing.cast("type", Fresh), Fresh, Typed):
        with pytest.raises(TypeError):
            kind(*values, **named)
    assert Fresh(1) == (1, 2)


def test_what_is_made_of_other_values_is_checked() -> None:
    """As many as there are fields, and no others."""
    assert Point._make([1, 2]) == Point(1, 2)
    assert Point(1)._asdict() == {"x": 1, "y": 2}
    for made in (Point, Typed):
        with pytest.raises(TypeError, match="Expected 2 arguments, got 1"):
            made._make([1])
        with pytest.raises((ValueError, TypeError), match="unexpected field names"):
            made(1)._replace(z=1)  # type: ignore[call-arg]


def test_a_class_below_a_value_is_of_its_own() -> None:
    """Made first, it does not give its constructor to the class above; it has room for what is cached."""

    class Above(NamedTuple):
        x: int

    class Below(Above):
        """More than its fields."""

    below = Below(1)
    below.kept = 2  # type: ignore[attr-defined]

    assert (type(below), type(Above(1)), type(Below(2)._replace(x=3))) == (Below, Above, Below)
    assert vars(below) == {"kept": 2}


def test_methods_properties_and_documentation_stay() -> None:
    """The class is what its body says."""
    assert Point(1).total == 3
    assert Point.origin() == (0, 0)
    assert Point.__doc__ == "A point."
    assert Point.__module__ == __name__
    assert Point.__qualname__ == "Point"


def test_values_do_not_change() -> None:
    """A field cannot be set, and there is no room for another."""
    with pytest.raises(AttributeError):
        Point(1).x = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Point(1).z = 5  # type: ignore[attr-defined]


def test_values_can_be_matched_and_pickled() -> None:
    """Unions of values are taken apart by match; a value crosses processes as itself."""
    match Point(1, 7):
        case Point(x=1, y=found):
            pass
        case _:
            pytest.fail("no match")

    assert found == 7
    assert pickle.loads(pickle.dumps(PciAddress(0, 1, 2, 3))) == PciAddress(0, 1, 2, 3)  # noqa: S301 - our own
    assert type(copy.copy(Point(1))) is Point
