"""A sign of life for whatever takes longer than a second: on stderr, on a terminal only."""

from __future__ import annotations

import sys
import time

from vfioctl.lean import contextmanager
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

PATIENCE = 1.0
"""Seconds before the first sign."""


@contextmanager
def progress(what: str | Callable[[], str], *, quiet: bool = False) -> Iterator[None]:
    """Show what is being done, and for how long, while the body runs; a function says it anew each second."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    import threading

    from vfioctl.render.text import visible

    done = threading.Event()
    said = (lambda: visible(what)) if isinstance(what, str) else (lambda: visible(what()))
    clock = threading.Thread(target=_tick, args=(said, done), daemon=True)
    clock.start()
    try:
        yield
    finally:
        done.set()
        clock.join()


def _tick(what: Callable[[], str], done: threading.Event) -> None:
    begun = time.monotonic()
    shown = ""
    while not done.wait(PATIENCE):
        line = f"{what()} ... {time.monotonic() - begun:.0f} s"
        # What was longer before is covered with blanks.
        sys.stderr.write(f"\r{line:<{len(shown)}}")
        sys.stderr.flush()
        shown = line
    if shown:
        # Blanks wipe it away on every terminal, without an escape sequence.
        sys.stderr.write(f"\r{' ' * len(shown)}\r")
        sys.stderr.flush()
