"""``NamedTuple`` at a third of the price.

Every value of this program is a named tuple: immutable, compared and hashed in C. ``typing`` checks each
annotation of such a class when it is made, and compiles it first where it is text: half a millisecond a
class, some forty classes, on every start. The type checker has checked them already, so this makes the same
classes without that.
"""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from collections import namedtuple

    # Set by the class statement or by namedtuple itself.
    _TAKEN = frozenset({"__annotations__", "__module__", "__qualname__", "__classcell__"})

    class _ValueType(type):
        """Turns the body of a class into a named tuple, as ``typing.NamedTuple`` does."""

        def __new__(mcs, name, bases, namespace):  # noqa: ANN001, ANN204 - as in type itself
            if not bases:
                return super().__new__(mcs, name, bases, namespace)
            fields = tuple(namespace.get("__annotations__", ()))
            defaults = [namespace[field] for field in fields if field in namespace]
            made = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])  # noqa: PYI024
            made.__annotations__ = namespace.get("__annotations__", {})
            for key, value in namespace.items():
                if key not in _TAKEN and key not in made._fields:
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_ValueType):
        """A tuple with named fields, as ``typing.NamedTuple``."""


__all__ = ["NamedTuple"]
