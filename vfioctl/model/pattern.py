"""Regular expressions that are compiled when they are first used.

Every start imports some twenty, at up to a tenth of a millisecond each, and a run uses a few of them. Flags
are written into the text, as in ``(?i)``.
"""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from re import compile as pattern
else:

    class pattern:  # noqa: N801 - it stands in for re.compile
        """A regular expression: what ``re.compile`` returns, a little later."""

        def __init__(self, text):  # noqa: ANN001, ANN204
            """Take its text, or bytes."""
            self._text = text

        def __getattr__(self, name):  # noqa: ANN001, ANN204
            import re

            found = getattr(re.compile(self._text), name)
            # From the second time on it is an attribute like any other.
            setattr(self, name, found)
            return found


__all__ = ["pattern"]
