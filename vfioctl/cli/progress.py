"""A sign of life for whatever takes longer than a second: on stderr, on a terminal only."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vfioctl.render.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 1.0
"""Seconds before the first sign."""


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Show what is being done, and for how long, while the body runs."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    clock = threading.Thread(target=_tick, args=(visible(what), done), daemon=True)
    clock.start()
    try:
        yield
    finally:
        done.set()
        clock.join()


def _tick(what: str, done: threading.Event) -> None:
    begun = time.monotonic()
    shown = False
    while not done.wait(PATIENCE):
        sys.stderr.write(f"\r{what} ... {time.monotonic() - begun:.0f} s")
        sys.stderr.flush()
        shown = True
    if shown:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
