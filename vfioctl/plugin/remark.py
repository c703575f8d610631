"""One thing that is legal in a configuration and unwise."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple


class Remark(NamedTuple):
    """Something unwise, and what to do about it."""

    check: str
    resource: str
    message: str
    hint: str
    proposal: tuple[str, ...] = ()
    """Lines of a configuration that would avoid it."""


_SHOWN = 4


def few(names: list[str]) -> str:
    """Return some of many names."""
    more = len(names) - _SHOWN
    return " ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
