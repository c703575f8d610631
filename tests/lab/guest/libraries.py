"""What every installed machine has and an unpacked one lacks: the list of libraries."""

from __future__ import annotations

import subprocess
from pathlib import Path


def listed() -> None:
    """List the libraries, once: Python looks there for libudev, by which the kernel reports what changes."""
    if not Path("/etc/ld.so.cache").exists():
        subprocess.run(["ldconfig"], check=True)
