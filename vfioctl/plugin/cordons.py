"""What an administrator took out of service, on disk: it outlives the plugin, and ends with the boot."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress

from vfioctl.errors import NotPermittedError
from vfioctl.plugin.draft import new_file
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = "plugin-cordons.json"
"""Beside the admin socket."""

_LARGEST = 1 << 20

log = logging.getLogger("vfioctl.plugin")


def load_cordons(path: str) -> frozenset[str]:
    """Return what is cordoned; a file that cannot be used is said, and counts as empty."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - one call
            kept = json.loads(file.read(_LARGEST))["cordoned"]
        return frozenset(name for name in kept if isinstance(name, str))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        log.error("%s cannot be used, so nothing is cordoned: %s", path, error)  # noqa: TRY400 - its words are enough
        return frozenset()


def save_cordons(path: str, cordoned: Iterable[str]) -> None:
    """Keep what is cordoned; after a crash the file is the old or the new one, whole.

    Raises:
        NotPermittedError: it cannot be written.

    """
    draft = f"{path}.new"
    text = json.dumps({"schema": 1, "cordoned": sorted(cordoned)})
    try:
        with os.fdopen(new_file(draft), "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, path)  # noqa: PTH104 - one call
    except OSError as error:
        with suppress(OSError):
            os.unlink(draft)  # noqa: PTH108 - one call
        raise NotPermittedError(
            f"{path} could not be written: {error.strerror}",
            hint="nothing was changed; is /run full or read-only?",
        ) from error
