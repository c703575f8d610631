"""Inputs that follow the coverage of the program: atheris, which is libFuzzer for Python."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fuzz.target import Target


def is_there() -> bool:
    """Tell whether atheris is installed; it has no wheel for every machine."""
    try:
        _atheris()
    except ImportError:
        return False
    return True


def _atheris() -> Any:  # noqa: ANN401 - it has no types, and need not be there
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return atheris


_LONGEST_WORD = 64


@contextmanager
def instrumented() -> Iterator[None]:
    """Have what is imported meanwhile report which of its branches were taken."""
    with _atheris().instrument_imports(include=["vfioctl"]):
        yield


def _entry(word: bytes) -> str:
    """Return a word as a line of a dictionary, which takes neither empty nor long ones."""
    escaped = "".join(f"\\x{byte:02x}" for byte in word)
    return f'"{escaped}"\n' if 0 < len(word) <= _LONGEST_WORD else ""


def campaign(target: Target, attempt: Callable[[bytes], None], number: int, place: Path) -> None:
    """Try inputs for ever: whoever attempts says when it is enough, and ends the process."""
    atheris = _atheris()
    corpus, dictionary = place / "corpus", place / "words"
    corpus.mkdir()
    for index, data in enumerate(target.seeds):
        (corpus / str(index)).write_bytes(data)
    dictionary.write_text("".join(map(_entry, target.words)))
    # Time and findings are the guard's business, which goes on after both.
    options = [f"-seed={number}", "-timeout=0", "-rss_limit_mb=0", "-max_len=4096", "-len_control=0"]
    options += [f"-dict={dictionary}"] if target.words else []
    atheris.Setup([sys.argv[0], *options, str(corpus)], attempt)
    atheris.Fuzz()
