"""The one name of typing that every module needs at run time, without typing.

Importing typing costs four milliseconds at every start, and all that modules want of it then is to be told
that nobody checks types now. What annotations use is imported behind this.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""True for type checkers, as ``typing.TYPE_CHECKING``."""
