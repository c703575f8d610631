"""From a change in sysfs to the message on the wire, in a process of its own: told on stdin what to change.

A device goes away from vfio-pci and comes back, as the kernel shows it: links and nodes first, then the
reports. The time runs from the first of these to the message that says so.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench.plugin.vfio_trees import address_of
from tests.bench.plugin.wire import Connection, headers
from vfioctl.plugin.api import deviceplugin_pb2 as pb

PATIENCE = 10.0


class Order(NamedTuple):
    """What to change, and who listens."""

    tree: str
    paths: list[str]
    """The socket of each resource."""
    devices: int
    changes: int
    doorbell: int
    """Where reports are written to."""


def run(order: Order) -> list[float]:
    """Change one device after the other; return the seconds to each message."""
    chance = random.Random(0)  # noqa: S311 - the same ones each time
    listeners = {}
    seconds = []
    for _ in range(order.changes):
        number = chance.randrange(order.devices)
        resource = number * len(order.paths) // order.devices
        if resource not in listeners:
            listeners[resource] = _Listener(order.paths[resource])
        for change, health in ((_go, "Unhealthy"), (_come, "Healthy")):
            # Not in step with anything that the program does by itself.
            time.sleep(chance.uniform(0.05, 0.15))
            began = time.perf_counter()
            change(Path(order.tree), number, order.doorbell)
            seconds.append(listeners[resource].until(address_of(number), health) - began)
    return seconds


class _Listener:
    """One stream of ListAndWatch."""

    def __init__(self, path: str) -> None:
        self._messages: list[tuple[float, bytes]] = []
        self._connection = Connection(path)
        self._connection.socket.settimeout(PATIENCE)
        self._connection.on_message = lambda message: self._messages.append((time.perf_counter(), message))
        self._connection.call(headers("ListAndWatch"), b"")
        while not self._messages:
            self._connection.receive()

    def until(self, device: str, health: str) -> float:
        """Return when a message came that says so of a device."""
        while True:
            for at, message in self._messages:
                listed = pb.ListAndWatchResponse.FromString(message).devices
                if (device, health) in {(one.ID, one.health) for one in listed}:
                    self._messages.clear()
                    return at
            self._messages.clear()
            self._connection.receive()


def _go(tree: Path, number: int, doorbell: int) -> None:
    address = address_of(number)
    (tree / f"dev/vfio/{number}").unlink()
    (tree / f"sys/class/vfio/{number}").rmdir()
    (tree / f"sys/devices/pci0000:00/{address}/driver").unlink()
    _report(doorbell, f"remove vfio {number}", f"unbind pci {address}")


def _come(tree: Path, number: int, doorbell: int) -> None:
    address = address_of(number)
    os.symlink("../../../bus/pci/drivers/vfio-pci", tree / f"sys/devices/pci0000:00/{address}/driver")
    (tree / f"sys/class/vfio/{number}").mkdir()
    os.symlink("/dev/null", tree / f"dev/vfio/{number}")
    _report(doorbell, f"add vfio {number}", f"bind pci {address}")


def _report(doorbell: int, *lines: str) -> None:
    os.write(doorbell, "".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    json.dump(run(Order(**json.load(sys.stdin))), sys.stdout)
