"""What stands in for the standard library does what the original does."""

from __future__ import annotations

import contextlib
import copy
import enum
import functools
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vfioctl import lean
from vfioctl.model.device import Header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ORIGINALS = {
    "cache": functools,
    "cached_property": functools,
    "contextmanager": contextlib,
    "lru_cache": functools,
    "suppress": contextlib,
}


@pytest.fixture(params=["lean", "original"])
def tools(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401 - modules
    """Return what stands in, and then the originals: every test holds for both."""
    if request.param == "lean":
        return lean
    names = {name: getattr(module, name) for name, module in ORIGINALS.items()}
    return type("Originals", (), {name: staticmethod(tool) for name, tool in names.items()})


@pytest.mark.parametrize("name", sorted(lean.__all__))
def test_nothing_here_is_the_original_itself_but_what_is_written_in_c(name: str) -> None:
    """Else the module would import what it is there to spare."""
    assert getattr(lean, name).__module__ if name in ORIGINALS else True
    assert name not in ORIGINALS or getattr(lean, name) is not getattr(ORIGINALS[name], name)


def test_results_are_remembered(tools: Any) -> None:  # noqa: ANN401 - modules
    """Once for each argument; the typed kind tells True from 1."""
    asked: list[object] = []

    @tools.lru_cache(maxsize=8, typed=True)  # type: ignore[untyped-decorator] # either of two
    def note(value: object) -> int:
        """Count."""
        asked.append(value)
        return len(asked)

    @tools.cache  # type: ignore[untyped-decorator] # either of two
    def twice(value: int) -> int:
        return int(note(value)) * 2

    assert [note(1), note(1), note(True), twice(1), twice(1)] == [1, 1, 2, 2, 2]
    assert asked == [1, True]
    assert (note.__name__, note.__doc__) == ("note", "Count.")
    note.cache_clear()
    assert note(1) == 3


def test_a_property_is_found_out_once(tools: Any) -> None:  # noqa: ANN401 - modules
    """And stays with its object."""

    class Thing:
        found = 0

        @tools.cached_property  # type: ignore[untyped-decorator] # either of two
        def size(self) -> int:
            """Its size."""
            self.found += 1
            return 7

    thing = Thing()

    assert (thing.size, thing.size, thing.found, vars(thing)["size"]) == (7, 7, 1, 7)
    assert vars(Thing)["size"].__doc__ == "Its size."
    assert Thing.size is vars(Thing)["size"]


def run(context: Callable[[list[str]], Any], problem: BaseException | None) -> tuple[list[str], str]:
    """Go through a context, raise in it if asked to, and return what happened and what came out."""
    happened: list[str] = []
    try:
        with context(happened) as given:
            happened.append(given)
            if problem is not None:
                raise problem  # noqa: TRY301 - it is what is tried
    except BaseException as raised:  # noqa: BLE001 - all of them are looked at
        same = raised is problem
        return happened, f"{type(raised).__name__} {same} {raised.__cause__ is problem is not None}"
    return happened, "through"


@pytest.mark.parametrize("problem", [None, ValueError("v"), KeyError("k"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("kind", ["plain", "swallows", "turns", "twice", "never"])
def test_contexts_are_left_as_with_contextlib(kind: str, problem: BaseException | None) -> None:
    """Whatever was raised inside, and whatever the function does about it."""

    def context(happened: list[str]) -> Iterator[str]:
        happened.append("in")
        try:
            if kind != "never":
                yield "given"
            if kind == "twice":
                yield "again"
        except ValueError as error:
            happened.append("caught")
            if kind == "turns":
                raise LookupError from error
            if kind != "swallows":
                raise
        finally:
            happened.append("out")

    ours = run(lean.contextmanager(context), problem)
    theirs = run(contextlib.contextmanager(context), problem)

    assert ours[0] == theirs[0]
    # What is wrong with the function itself is an error of either kind.
    assert kind in {"twice", "never"} or ours[1] == theirs[1]
    assert ours[1] != "through" or theirs[1] == "through"


def test_errors_are_suppressed_by_kind(tools: Any) -> None:  # noqa: ANN401 - modules
    """Those of these kinds and of kinds below them; no others."""
    with tools.suppress(OSError, KeyError):
        Path("/nowhere/at/all").read_bytes()
    with tools.suppress():
        pass
    with pytest.raises(ValueError, match="other"), tools.suppress(OSError):
        raise ValueError("other")


def test_words_are_as_with_enum() -> None:
    """They are texts, the only ones of their kind, in order, and are found by their text."""

    class Theirs(enum.StrEnum):
        """Words."""

        ONE = "1"
        TWO = "two"

    class Ours(lean.StrEnum):
        """Words."""

        ONE = "1"
        TWO = "two"

        @property
        def shout(self) -> str:
            """Louder."""
            return self.upper()

    for theirs, ours in zip(Theirs, Ours, strict=True):
        assert (ours.name, ours.value, str(ours), f"{ours:>5}") == (
            theirs.name,
            theirs.value,
            str(theirs),
            f"{theirs:>5}",
        )
        assert ours == ours.value == theirs.value
        assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
        assert hash(ours) == hash(theirs)
        assert Ours(ours.value) is ours
        assert isinstance(ours, Ours)
        assert type(str(ours)) is str
    assert (len(Ours), list(Ours.__members__), Ours.TWO.shout) == (2, ["ONE", "TWO"], "TWO")
    with pytest.raises(ValueError, match="'three' is not a valid Ours"):
        Ours("three")
    with pytest.raises(AttributeError, match="ONE"):
        Ours.ONE = "2"  # type: ignore[misc] # what must not be


def test_a_word_stays_the_same_through_copies_and_pickles() -> None:
    """What is compared with ``is`` must come back as itself."""
    word = Header.BRIDGE

    assert copy.copy(word) is copy.deepcopy(word) is pickle.loads(pickle.dumps(word)) is word  # noqa: S301 - our own
