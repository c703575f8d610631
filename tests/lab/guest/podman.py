"""Podman inside the guest: containers that have the guest's own root, and the devices they are given."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.lab.guest import libraries

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT: Final = Path("/run/container-root")
CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")
DEADLINE: Final = 80.0
"""Seconds that a container may take from start to end; about five under TCG."""
SETTINGS: Final = {
    # The guest's root is an initramfs, which cannot be pivoted away; there is no systemd and no network.
    "containers.conf": """\
[containers]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
no_pivot_root = true
runtime = "crun"
[network]
network_backend = "cni"
""",
    "storage.conf": """\
[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/run/containers/lib"
""",
}


def prepare() -> None:
    """Make Podman usable, once: its settings, control groups, and a root for containers."""
    libraries.listed()
    folder = Path("/etc/containers")
    folder.mkdir(exist_ok=True)
    for name, text in SETTINGS.items():
        (folder / name).write_text(text, encoding="ascii")
    if not (CONTROL_GROUPS / "cgroup.controllers").exists():
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", CONTROL_GROUPS], check=True)
    if not ROOT.exists():
        ROOT.mkdir()
        # Not what is mounted below it: a container gets its own /dev, /proc, /sys and /run.
        subprocess.run(["mount", "--bind", "/", ROOT], check=True)


def run(arguments: Iterable[str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a new container, which is removed afterwards."""
    words = ["podman", "run", "--rm", *arguments, "--workdir=/checkout", "--rootfs", str(ROOT), *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell as an administrator types it; IMAGE stands for what is to be started."""
    line = line.replace("IMAGE", f"--workdir=/checkout --rootfs {ROOT} {' '.join(LOOK)}")
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=DEADLINE, check=False)


LOOK: Final = ("python3", "-m", "tests.lab.guest.inside")
"""What tells the outside how a container looks from the inside."""


def seen(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Give what a container that ran `LOOK` has seen; it must have started."""
    assert done.returncode == 0, (done.args, done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def look(*arguments: str) -> dict[str, Any]:
    """Give what a container that is started with these arguments sees."""
    return seen(run(arguments, *LOOK))
