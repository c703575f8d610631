"""Hold a device as a virtual machine would: a process of its own, with the words ADDRESS and MODE.

Modes: `silent` (no request channel: an unbind blocks until the holder goes), `deaf` (hears the request, keeps
the device), `polite` (gives the device up when asked, as QEMU does), `group` (only the group, no device).
It says "holding" once it holds, and goes when its standard input ends.
"""

from __future__ import annotations

import os
import select
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.lab.guest import kernel, ready, vfio

if TYPE_CHECKING:
    from collections.abc import Iterator

MODES: Final = ("silent", "deaf", "polite", "group")


@contextmanager
def holding(address: str, mode: str = "silent") -> Iterator[ready.Fork]:
    """Have another process hold a device; it is let go, and waited for, at the end."""
    holder = ready.Fork(ready.HOLDER, address, mode)
    try:
        said = holder.stdout.readline()
        if said.strip() != "holding":
            message = f"the holder of {address} said {said!r}"
            raise RuntimeError(message)
        yield holder
    finally:
        release(holder)
        holder.close()


def release(holder: ready.Fork) -> None:
    """Let the holder go and wait for its end."""
    holder.stdin.close()
    holder.wait(timeout=20)


def main() -> None:
    """Hold a device until standard input ends, or until the kernel asks for it in mode `polite`."""
    _, address, mode = sys.argv
    group = kernel.group_of(address)
    waited = [0]
    if mode == "group":
        os.open(f"/dev/vfio/{group}", os.O_RDWR)
    else:
        _container, _group, device = vfio.open_device(address, group)
        if mode in {"deaf", "polite"}:
            waited.append(vfio.notify_requests(device))
    print("holding", flush=True)
    while True:
        readable, _, _ = select.select(waited, [], [])
        if 0 in readable or mode == "polite":
            return
        waited = [0]
