"""One value of a configuration file each: read, or refused with its place and what was expected.

Plain functions: a library that does this (msgspec) is a compiled dependency, and would take the place of some
forty of these lines, but not of the rules about names, selectors, paths and addresses.
"""

from __future__ import annotations

import posixpath

from vfioctl.errors import UsageError
from vfioctl.model.pattern import pattern
from vfioctl.model.selector import MdevTerm, Selector, UsbTerm
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.names import resource_name_problem
from vfioctl.plugin.settings import OnRelease
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from enum import StrEnum
    from typing import TypeAlias, TypeVar

    from vfioctl.model.terms import Term

    One = TypeVar("One")
    Choice = TypeVar("Choice", bound=StrEnum)

_LISTEN = pattern(r"(?:\*|\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[-A-Za-z0-9.]*[A-Za-z0-9])?):([0-9]{1,5})")
_LAST_PORT = 65535
_SHOWN = 60


class Place(NamedTuple):
    """Where in which file a value stands: ``resource[1].select[0]``, counted from 0."""

    file: str
    path: str

    def below(self, key: str) -> Place:
        """Return the place of a key of this table."""
        return Place(self.file, f"{self.path}.{key}" if self.path else key)

    def at(self, number: int) -> Place:
        """Return the place of a member of this list."""
        return Place(self.file, f"{self.path}[{number}]")

    def error(self, problem: str, expected: str) -> UsageError:
        """Make the error for what stands here."""
        return UsageError(f"{self.file}: {self.path}: {problem}", hint=f"expected {expected}")


if TYPE_CHECKING:
    Reader: TypeAlias = Callable[[Place, object], One]
    AnyReader: TypeAlias = Callable[[Place, object], object]


def shown(value: object) -> str:
    """Return a value as a message shows it, shortened."""
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def read_table(
    place: Place, table: object, readers: Mapping[str, AnyReader], required: Iterable[str]
) -> dict[str, object]:
    """Read a table of which every key is known.

    Raises:
        UsageError: it is no table, a key is unknown or missing, or a value is refused by its reader.

    """
    if not isinstance(table, dict):
        raise place.error(f"{shown(table)} is no table", f"the keys {', '.join(readers)}")
    for key in table:
        if key not in readers:
            raise place.below(key).error("unknown key", _near(key, readers))
    for key in required:
        if key not in table:
            raise place.below(key).error("missing", f"it in every such table: {key} = ...")
    return {key: readers[key](place.below(key), value) for key, value in table.items()}


def text(place: Place, value: object) -> str:
    """Read a text."""
    if not isinstance(value, str):
        raise place.error(f"{shown(value)} is no text", 'a text in quotes, as in "..."')
    return value


def name(place: Place, value: object) -> str:
    """Read a text that is not empty and can be printed."""
    found = text(place, value)
    if not found or not found.isprintable():
        raise place.error(f"{shown(found)} is no name", "letters on one line")
    return found


def flag(place: Place, value: object) -> bool:
    """Read ``true`` or ``false``."""
    if not isinstance(value, bool):
        raise place.error(f"{shown(value)} is neither true nor false", "true or false, without quotes")
    return value


def number(least: int, most: int) -> Reader[int]:
    """Return a reader of whole numbers between two, inclusive."""

    def read(place: Place, value: object) -> int:
        # In Python true is a number; in a configuration it is none.
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise place.error(f"{shown(value)} is no such number", f"a whole number from {least} to {most}")
        return value

    return read


def choice(kind: type[Choice]) -> Reader[Choice]:
    """Return a reader of one word of a closed list."""
    words = [word.value for word in kind]

    def read(place: Place, value: object) -> Choice:
        if not isinstance(value, str) or value not in words:
            raise place.error(f"{shown(value)} is none of its words", _one_of(words, value))
        return kind(value)

    return read


def several(reader: Reader[One], *, least: int = 0) -> Reader[tuple[One, ...]]:
    """Return a reader of a list without repetitions."""

    def read(place: Place, value: object) -> tuple[One, ...]:
        if not isinstance(value, list):
            raise place.error(f"{shown(value)} is no list", "a list in brackets, as in [...]")
        if len(value) < least:
            raise place.error("the list is empty", f"at least {least}")
        found = tuple(reader(place.at(index), member) for index, member in enumerate(value))
        for index, member in enumerate(found):
            if member in found[:index]:
                raise place.at(index).error(f"{shown(value[index])} is listed twice", "each only once")
        return found

    return read


def resource_name(place: Place, value: object) -> str:
    """Read the name of a resource."""
    name = text(place, value)
    if problem := resource_name_problem(name):
        raise place.error(f"{shown(name)}: {problem}", 'a name as in "vfioctl.io/t4"')
    return name


def absolute_path(place: Place, value: object) -> str:
    """Read the path of a folder."""
    path = text(place, value)
    if not path.startswith("/") or "\0" in path:
        raise place.error(f"{shown(path)} is no absolute path", "a path that begins with /")
    return posixpath.normpath(path)


def device_path(place: Place, value: object) -> str:
    """Read the path of a device node."""
    path = text(place, value)
    # A folder would hand out every node in it, those of other groups included.
    if not path.startswith("/dev/") or path != posixpath.normpath(path) or "\0" in path:
        raise place.error(f"{shown(path)} is no path of a device node", 'a node below /dev, as in "/dev/kvm"')
    return path


def release_action(place: Place, value: object) -> str:
    """Read what is to be done on release: a word, or the path of a program."""
    action = text(place, value)
    words = [word.value for word in OnRelease]
    if action.startswith("/"):
        if action != posixpath.normpath(action) or not action.isprintable():
            raise place.error(f"{shown(action)} is no path of a program", "an absolute one without detours")
    elif action not in words:
        expected = f'{_one_of(words, action)}, or a program as in "/usr/local/sbin/wipe"'
        raise place.error(f"{shown(action)} is none of its words", expected)
    return action


def listen(place: Place, value: object) -> str:
    """Read an address and port to listen at; empty for none."""
    address = text(place, value)
    found = _LISTEN.fullmatch(address)
    if address and not (found and 0 < int(found[1]) <= _LAST_PORT):
        raise place.error(
            f"{shown(address)} is no address with a port",
            'as in "127.0.0.1:9464", "[::1]:9464" or "*:9464" for every address; "" for none',
        )
    return address


def selector(*foreign: type[Term], needs: bool = False) -> Reader[Selector]:
    """Return a reader of selectors that may have terms about what is no PCI function: of these types only.

    With `needs` a selector must have one of them.
    """

    def read(place: Place, value: object) -> Selector:
        spelled = text(place, value)
        try:
            found = Selector.parse(spelled)
        except UsageError as problem:
            raise UsageError(f"{place.file}: {place.path}: {problem.message}", hint=problem.hint) from problem
        for term in found.terms:
            if isinstance(term, MdevTerm | UsbTerm) and not isinstance(term, foreign):
                raise place.error(
                    f"{shown(spelled)} names {found.foreign}", "what this kind of resource offers"
                )
        if needs and not any(isinstance(term, foreign) for term in found.terms):
            raise place.error(f"{shown(spelled)} names no USB device", 'as in "usb:1050:0407" or "usb:1-2.5"')
        return found

    return read


def _near(key: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    keys = list(known)
    near = get_close_matches(key[:_SHOWN], keys, n=1)
    return f"one of {', '.join(keys)}" + (f" (did you mean {near[0]}?)" if near else "")


def _one_of(words: list[str], value: object) -> str:
    from difflib import get_close_matches

    near = get_close_matches(value[:_SHOWN], words, n=1) if isinstance(value, str) else []
    listed = ", ".join(f'"{word}"' for word in words)
    return f"one of {listed}" + (f" (did you mean {near[0]}?)" if near else "")
