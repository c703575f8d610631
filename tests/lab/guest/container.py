"""Hold a group as a container does: in a mount namespace of its own, through a node of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOLD: Final = """
import os, subprocess, sys
number = int(sys.argv[1])
# What a runtime does: an own /dev, in which only what was granted is made.
subprocess.run(["mount", "-t", "tmpfs", "none", "/dev/vfio"], check=True)
os.mknod("/dev/vfio/mine", 0o020600, number)
held = os.open("/dev/vfio/mine", os.O_RDWR)
print("holding", flush=True)
sys.stdin.read()
"""


@contextmanager
def holding(node: str) -> Iterator[subprocess.Popen[str]]:
    """Have a process in a mount namespace of its own open the device that a node of the host is of."""
    number = os.stat(node).st_rdev
    command = ["unshare", "--mount", sys.executable, "-c", _HOLD, str(number)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            said = holder.stdout.readline() if holder.stdout else ""
            if said.strip() != "holding":
                message = f"the holder of {node} said {said!r}"
                raise RuntimeError(message)
            yield holder
        finally:
            if holder.stdin and not holder.stdin.closed:
                holder.stdin.close()
            holder.wait(timeout=30)
