"""What a short run needs of functools, contextlib, enum, types and signal, without importing them.

Together they take as long to import as it takes to read a hundred devices. What is written in C there comes
from where they have it, and the rest does what this program asks of it, no more. Type checkers see the
originals. A run that needs Click imports those anyway.
"""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

__all__ = [
    "MappingProxyType",
    "StrEnum",
    "cache",
    "cached_property",
    "contextmanager",
    "lru_cache",
    "partial",
    "signal",
    "suppress",
]

if TYPE_CHECKING:
    import signal
    from contextlib import contextmanager, suppress
    from enum import StrEnum
    from functools import cache, cached_property, lru_cache, partial
    from types import MappingProxyType
else:
    # The rest of signal makes enumerations of its numbers.
    import _signal as signal

    MappingProxyType = type(type.__dict__)

    try:
        from _functools import _lru_cache_wrapper, partial
    except ImportError:  # an interpreter without the accelerator
        from functools import cache, lru_cache, partial
    else:

        def lru_cache(maxsize=128, *, typed=False):  # noqa: ANN001, ANN201
            """Remember the results of a function, as ``functools.lru_cache``."""

            def decorated(function):  # noqa: ANN001, ANN202
                return _like(_lru_cache_wrapper(function, maxsize, typed, _cache_info), function)

            return decorated

        def cache(function):  # noqa: ANN001, ANN201
            """Remember all results of a function, as ``functools.cache``."""
            return lru_cache(None)(function)

        def _cache_info(*counts):  # noqa: ANN002, ANN202
            return counts

    class cached_property:  # noqa: N801 - it stands in for functools.cached_property
        """A property that is found out once for each object."""

        def __init__(self, function):  # noqa: ANN001, ANN204
            """Take what finds it out."""
            self._function = function
            self.__doc__ = function.__doc__

        def __set_name__(self, owner, name):  # noqa: ANN001, ANN204
            """Learn under which name the object keeps it."""
            self._name = name

        def __get__(self, instance, owner=None):  # noqa: ANN001, ANN204
            """Find it out, and keep it where it is looked for first from now on."""
            if instance is None:
                return self
            value = vars(instance)[self._name] = self._function(instance)
            return value

    def contextmanager(function):  # noqa: ANN001, ANN201
        """Make a context of a function that yields once, as ``contextlib.contextmanager``."""

        def begun(*args, **kwargs):  # noqa: ANN002, ANN003, ANN202
            return _Context(function(*args, **kwargs))

        return _like(begun, function)

    class _Context:
        """A generator as a context."""

        def __init__(self, generator):  # noqa: ANN001, ANN204
            self._generator = generator

        def __enter__(self):  # noqa: ANN204
            return next(self._generator)

        def __exit__(self, kind, problem, trace):  # noqa: ANN001, ANN204
            try:
                if problem is None:
                    next(self._generator)
                else:
                    self._generator.throw(problem)
            except StopIteration as end:
                return end is not problem
            except BaseException as raised:
                if raised is not problem:
                    raise
                # The generator's own lines say nothing of where it came from.
                problem.__traceback__ = trace
                return False
            raise RuntimeError("a context that yields twice")

    class suppress:  # noqa: N801 - it stands in for contextlib.suppress
        """A context that swallows errors of these kinds."""

        def __init__(self, *kinds):  # noqa: ANN002, ANN204
            """Take the kinds."""
            self._kinds = kinds

        def __enter__(self):  # noqa: ANN204
            """Begin."""

        def __exit__(self, kind, problem, trace):  # noqa: ANN001, ANN204
            """Tell whether the error is one of them."""
            return kind is not None and issubclass(kind, self._kinds)

    def _like(made, function):  # noqa: ANN001, ANN202
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(made, name, getattr(function, name))
        made.__wrapped__ = function
        return made

    class _Words(type):
        """Makes a member of each text in the body of a class, as ``enum.StrEnum`` does."""

        def __new__(mcs, name, bases, namespace):  # noqa: ANN001, ANN204 - as in type itself
            texts = {key: text for key, text in namespace.items() if type(text) is str and key[0] != "_"}
            rest = {key: value for key, value in namespace.items() if key not in texts}
            made = super().__new__(mcs, name, bases, rest)
            made.__members__ = {key: _member(made, key, text) for key, text in texts.items()}
            made._by_value = {member.value: member for member in made.__members__.values()}
            return made

        def __call__(cls, text):  # noqa: ANN001, ANN204
            member = cls._by_value.get(text)
            if member is None:
                raise ValueError(f"{text!r} is not a valid {cls.__name__}")
            return member

        def __iter__(cls):  # noqa: ANN204
            return iter(cls._by_value.values())

        def __len__(cls):  # noqa: ANN204
            return len(cls._by_value)

        def __setattr__(cls, name, value):  # noqa: ANN001, ANN204
            if name in vars(cls).get("__members__", ()):
                raise AttributeError(f"cannot reassign member {name!r}")
            super().__setattr__(name, value)

    def _member(owner, name, text):  # noqa: ANN001, ANN202
        member = str.__new__(owner, text)
        member.name, member.value = name, text
        setattr(owner, name, member)
        return member

    class StrEnum(str, metaclass=_Words):  # noqa: SLOT000 - a member has a name
        """Words of a closed set, each the only one of its kind, as ``enum.StrEnum``."""

        __str__ = str.__str__
        __format__ = str.__format__

        def __repr__(self):  # noqa: ANN204
            """Show it as enum does."""
            return f"<{type(self).__name__}.{self.name}: {self.value!r}>"

        def __reduce_ex__(self, protocol):  # noqa: ANN001, ANN204
            """Come back from pickle and copy as the very same."""
            return type(self), (self.value,)
