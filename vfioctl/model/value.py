"""``NamedTuple`` at a tenth of the price.

Every value of this program is a named tuple: immutable, compared and hashed in C. ``typing`` checks each
annotation of such a class when it is made, and compiles it first where it is text; ``namedtuple`` makes six
functions for each and compiles one of them: half a millisecond a class, some forty classes, on every start.
The type checker has checked them already, so this makes the same classes without that: what they have in
common is written once, and a constructor is compiled when it is first called, as in one run few of them are.
"""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    try:
        from _collections import _tuplegetter as _field
    except ImportError:  # an interpreter without the accelerator
        from operator import itemgetter

        def _field(index, doc):  # noqa: ANN001, ANN202
            return property(itemgetter(index), doc=doc)

    def _first_call(cls, /, *args, **kwargs):  # noqa: ANN001, ANN002, ANN003, ANN202
        """Stand in for a constructor until it is called, and then make it."""
        owner = next(base for base in cls.__mro__ if "_fields" in vars(base))
        owner.__new__ = _constructor(owner._fields, owner._field_defaults)
        return owner.__new__(cls, *args, **kwargs)

    def _constructor(fields, defaults):  # noqa: ANN001, ANN202
        # Only a function with these very parameters takes its arguments without a detour, hence its text.
        names = "".join(f"{field}, " for field in fields)
        new = eval(f"lambda _cls, {names}: _new(_cls, ({names}))", {"_new": tuple.__new__})  # noqa: S307 - our own fields
        new.__defaults__ = tuple(defaults.values())
        return new

    class _Value(tuple):
        """What named tuples have in common."""

        __slots__ = ()

        @classmethod
        def _make(cls, values):  # noqa: ANN001, ANN206
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
            return made

        def _replace(self, /, **changes):  # noqa: ANN003, ANN202
            made = self._make(map(changes.pop, self._fields, self))
            if changes:
                raise ValueError(f"Got unexpected field names: {list(changes)!r}")
            return made

        def _asdict(self):  # noqa: ANN202
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):  # noqa: ANN204
            pairs = (f"{field}={value!r}" for field, value in self._asdict().items())
            return f"{type(self).__name__}({', '.join(pairs)})"

        def __getnewargs__(self):  # noqa: ANN204 - what pickle and copy call the constructor with
            return tuple(self)

    class _ValueType(type):
        """Turns the body of a class into a named tuple, as ``typing.NamedTuple`` does."""

        def __new__(mcs, name, bases, namespace):  # noqa: ANN001, ANN204 - as in type itself
            if not bases:
                return super().__new__(mcs, name, bases, namespace)
            fields = tuple(namespace.get("__annotations__", ()))
            return type(
                name,
                (_Value,),
                {
                    **namespace,
                    **{field: _field(index, None) for index, field in enumerate(fields)},
                    "__slots__": (),
                    "__new__": _first_call,
                    "__match_args__": fields,
                    "_fields": fields,
                    "_field_defaults": {field: namespace[field] for field in fields if field in namespace},
                },
            )

    class NamedTuple(metaclass=_ValueType):
        """A tuple with named fields, as ``typing.NamedTuple``."""


__all__ = ["NamedTuple"]
