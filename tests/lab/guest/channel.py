"""The guest's lines to the outside: virtio-serial ports found by name, without waiting for udev's links."""

from __future__ import annotations

import base64
import json
import os
import select
from pathlib import Path
from typing import Final

EVENTS_DESCRIPTOR: Final = "VFIOCTL_LAB_EVENTS"
"""Environment variable with the number of the open events port: the kernel lets it be opened only once."""

DUMP: Final = b"dump"
"""What the outside sends to ask for the kernel log when a scenario does not come back."""

PATIENCE: Final = 30.0
"""Seconds after which an outside that takes nothing is gone: a write would block for ever."""


def port(name: str) -> Path:
    """Give the node of a virtio-serial port; raise LookupError when the machine has none of this name."""
    for entry in Path("/sys/class/virtio-ports").glob("vport*"):
        if (entry / "name").read_text(encoding="ascii").strip() == name:
            return Path("/dev") / entry.name
    message = f"no virtio-serial port is called {name}"
    raise LookupError(message)


def send(descriptor: int, event: str, **fields: object) -> None:
    """Send one event as a line of JSON; raise ConnectionError when nobody is there to take it."""
    line = json.dumps({"event": event, **fields}, separators=(",", ":")).encode() + b"\n"
    while line:
        if not select.select([], [descriptor], [], PATIENCE)[1]:
            message = "the outside takes no events"
            raise ConnectionError(message)
        line = line[os.write(descriptor, line) :]


def emit(event: str, **fields: object) -> None:
    """Send one event from a process below the supervisor."""
    send(int(os.environ[EVENTS_DESCRIPTOR]), event, **fields)


def bring_back(name: str, data: bytes) -> None:
    """Hand a file to the outside, where it lands beside the results of this guest."""
    send_file(int(os.environ[EVENTS_DESCRIPTOR]), name, data)


def send_file(descriptor: int, name: str, data: bytes) -> None:
    """Hand a file to the outside from the process that has the events port."""
    send(descriptor, "file", name=name, data=base64.b64encode(data).decode("ascii"))
