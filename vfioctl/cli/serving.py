"""Serving this host: the plugin is given its eyes, its ears and its voice."""

from __future__ import annotations

import gc
import logging
import os
import sys

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.cli.session import Session
    from vfioctl.plugin.decisions import View
    from vfioctl.plugin.settings import Config

LOCK_VARIABLE = "VFIOCTL_PLUGIN_LOCK"
"""The environment variable that names another lock than that of this host: for tests."""

_PRIORITIES = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""What the journal calls them, as a number before each line."""


def look_at_host() -> View:
    """Look at the host; called in a process of its own."""
    from vfioctl.plugin.decisions import View
    from vfioctl.plugin.sight import look
    from vfioctl.sysfs.reader import read_host
    from vfioctl.sysfs.root import HostRoot

    root = HostRoot()
    return View(read_host(root), look(root))


def serve_host(session: Session, load: Callable[[], Config]) -> None:
    """Serve until told to end; raises as `vfioctl.plugin.serving.serve` does."""
    from vfioctl.plugin.lock import PATH
    from vfioctl.plugin.serving import serve
    from vfioctl.udev.changes import changes

    # This run is not a short one.
    gc.enable()
    _speak(session.verbosity)
    serve(look_at_host, load, changes, lock=os.environ.get(LOCK_VARIABLE, PATH))


def _speak(verbosity: int) -> None:
    """Log to stderr: for the journal with its priorities, else with the time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Journal() if "JOURNAL_STREAM" in os.environ else logging.Formatter(_TIMED))
    log = logging.getLogger("vfioctl")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if verbosity > 0 else logging.WARNING if verbosity < 0 else logging.INFO)


_TIMED = "%(asctime)s %(levelname)s %(message)s"


class _Journal(logging.Formatter):
    """Lines with the number that the journal reads."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        number = _PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{number}>{line}" for line in text.split("\n"))
