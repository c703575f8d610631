"""What modules need of typing at run time, without typing.

Importing typing costs four milliseconds at every start. All that modules want of it then is to be told that
nobody checks types now, a base class that means nothing then, and a function that is never called; what
annotations use is imported behind this.
"""

from __future__ import annotations

__all__ = ["TYPE_CHECKING", "Protocol", "assert_never"]

TYPE_CHECKING = False
"""True for type checkers, as ``typing.TYPE_CHECKING``."""

if TYPE_CHECKING:
    from typing import Never, Protocol
else:
    Protocol = object


def assert_never(value: Never) -> Never:
    """Tell a type checker that this is not reached, as ``typing.assert_never`` does."""
    raise AssertionError(f"unexpected: {value!r}")
