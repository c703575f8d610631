"""What a container sees of its devices, as JSON on stdout: `python -m tests.lab.guest.inside`."""

from __future__ import annotations

import errno
import json
import os
import resource
import stat
from pathlib import Path
from typing import Any

from tests.lab.guest import vfio

LARGE = 16 << 20
"""More than the usual 8 MiB that a process may lock."""


def main() -> None:
    """Look at everything below /dev/vfio, and use it as a virtual machine would."""
    nodes = {str(path): _node(path) for path in sorted(Path("/dev/vfio").glob("**/*")) if not path.is_dir()}
    groups = {path: _group(path) for path in nodes if path.rpartition("/")[2].isdecimal()}
    variables = {name: value for name, value in os.environ.items() if name.startswith("PCI_RESOURCE_")}
    seen = {
        "user": [os.getuid(), os.getgid()],
        "groups": os.getgroups(),
        "memlock": resource.getrlimit(resource.RLIMIT_MEMLOCK),
        "nodes": nodes,
        "opened": groups,
        "variables": variables,
    }
    print(json.dumps(seen))


def _node(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {
        "numbers": [os.major(found.st_rdev), os.minor(found.st_rdev)],
        "character": stat.S_ISCHR(found.st_mode),
        "owner": [found.st_uid, found.st_gid],
        "mode": stat.S_IMODE(found.st_mode),
    }


def _group(path: str) -> str:
    """Say how far one comes with a group: the errno's name, "not viable", or "" for memory mapped."""
    number = int(path.rpartition("/")[2])
    try:
        if not vfio.is_viable(number):
            return "not viable"
        vfio.map_memory(number, LARGE)
    except OSError as problem:
        return errno.errorcode.get(problem.errno or 0, str(problem))
    return ""


if __name__ == "__main__":
    main()
