"""Write the dumps of the hosts that are composed by hand: python -m tests.support.compose [--check]."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import vfioctl
from tests.support.composed import desktops, sample, servers
from vfioctl.sysfs.dump import format_dump

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.tree import HostTree

HOSTS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "hosts")
SAMPLE = os.path.join(os.path.dirname(vfioctl.__file__), "data", "sample.txt")

COMPOSED: dict[str, Callable[[], HostTree]] = {
    "arm64": servers.arm64,
    "dead": desktops.dead,
    "empty-groups": desktops.empty_groups,
    "laptop": desktops.laptop,
    "legacy": desktops.legacy,
    "mdev": desktops.mdev,
    "multipath": servers.multipath,
    "nonroot": servers.nonroot,
    "server": servers.server,
    "storage": servers.storage,
    "vmd": servers.vmd,
    "workstation": desktops.workstation,
}


def dumps() -> dict[str, str]:
    """Return every composed host as text, by the file that holds it."""
    texts = {os.path.join(HOSTS, f"{name}.txt"): _dump(compose) for name, compose in COMPOSED.items()}
    return {**texts, SAMPLE: _dump(sample.sample)}


def _dump(compose: Callable[[], HostTree]) -> str:
    tree = compose()
    about = " ".join((compose.__doc__ or "").split()).removeprefix("Compose ")
    kernel = tree.content("/proc/sys/kernel/osrelease").decode().strip()
    return format_dump(tree.entries(), ["origin: composed by hand, not recorded", f"kernel: {kernel}", about])


def main() -> int:
    """Write what differs; with --check only say so."""
    stale = 0
    for path, text in dumps().items():
        try:
            with open(path, encoding="utf-8") as file:
                known = file.read()
        except FileNotFoundError:
            known = ""
        if known == text:
            continue
        stale += 1
        if "--check" in sys.argv[1:]:
            print(f"{path} is not what its composition gives: run python -m tests.support.compose")
            continue
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        print(f"wrote {path}")
    return int("--check" in sys.argv[1:] and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
