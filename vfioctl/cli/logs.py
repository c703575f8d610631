"""How a program that runs for months speaks: lines for people, for the journal, or for a collector."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, TextIO

_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""What the journal calls them, as a number before each line."""


def speak(form: str, verbosity: int) -> None:
    """Log to stderr: as ``text``, ``json``, for the ``journal``, or ``auto``, as it suits stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form if form != "auto" else suiting(sys.stderr)))
    log = logging.getLogger("vfioctl")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if verbosity > 0 else logging.WARNING if verbosity < 0 else logging.INFO)


def suiting(stream: TextIO) -> str:
    """Return the form that suits a stream: text for a terminal, the journal's for the journal, else JSON."""
    if stream.isatty():
        return "text"
    try:
        status = os.fstat(stream.fileno())
    except OSError:
        return "json"
    # The variable is inherited by what writes elsewhere: only if it names this very stream does it count.
    here = f"{status.st_dev}:{status.st_ino}"
    return "journal" if os.environ.get("JOURNAL_STREAM") == here else "json"


def formatter(form: str) -> logging.Formatter:
    """Return what makes lines of a form."""
    if form == "json":
        return _Json()
    return _Journal() if form == "journal" else _Text("%(asctime)s %(levelname)s %(message)s")


class _Text(logging.Formatter):
    """One line for each message, whatever is in a name that it tells; a traceback has as many as it needs."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        from vfioctl.render.text import visible

        record.message = visible(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401 - logging's
        from vfioctl.render.text import visible_block

        return visible_block(super().formatException(ei))


class _Journal(_Text):
    """Lines with the number that the journal reads; it knows the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        number = _PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{number}>{line}" for line in text.split("\n"))


class _Json(logging.Formatter):
    """One object on one line each; what an event knows beside its sentence has keys of its own."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record.msg, "facts", {}),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)
