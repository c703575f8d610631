"""Coverage, which is to say what tests go over: it rests wherever no test is under way.

A traced process is slow in every line, whoever's it is; between two tests most lines are pytest's, and the
process that hands out tests to others has no line of the program at all.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    import coverage

_MEASURING: Final[pytest.StashKey[coverage.Coverage]] = pytest.StashKey()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Rest once everything is imported, until all tests have run."""
    loaded = sys.modules.get("coverage")
    measuring = loaded.Coverage.current() if loaded else None
    if measuring is None:
        return (yield)
    session.config.stash[_MEASURING] = measuring
    measuring.stop()
    try:
        return (yield)
    finally:
        measuring.start()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Measure what a test itself does; what is marked no_cover is left out by pytest-cov, further in."""
    measuring = item.config.stash.get(_MEASURING, None)
    if measuring is None:
        return (yield)
    measuring.start()
    try:
        return (yield)
    finally:
        measuring.stop()
