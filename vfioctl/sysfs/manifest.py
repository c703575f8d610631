"""The manifest at the top of a snapshot's tree: what its recording user could not read."""

from __future__ import annotations

import os

from vfioctl.errors import UsageError

MANIFEST = "vfioctl-snapshot.json"
"""The file at a tree's top that says where it is from and what could not be read."""

_MOST = 16 << 20


def read_manifest(base: str, source: str) -> dict[str, str]:
    """Return what the tree's manifest says could not be read; a foreign recording has no manifest.

    Raises UsageError for a manifest that is damaged or newer than this program.
    """
    try:
        with open(os.path.join(base, MANIFEST), "rb") as file:
            text = file.read(_MOST + 1)
    except FileNotFoundError:
        return {}
    import json

    try:
        document = json.loads(text)
        known = (document["kind"], document["schema"]) == ("snapshot", 1)
        denied = {
            path: errno for path, errno in document["denied"].items() if path[0] == "/" and errno.isupper()
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{source}: its {MANIFEST} is damaged: {error}",
            hint="save the snapshot again",
        ) from None
    if not known:
        raise UsageError(f"{source}: its {MANIFEST} is of another version", hint="use a newer vfioctl")
    return denied
