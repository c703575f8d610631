"""From a change in sysfs to the message on the wire, in a process of its own: told on stdin what to change.

A device is taken out and put in again, or leaves vfio-pci and comes back, as the kernel shows it: links and
nodes first, then the reports. The time runs from the first of these to the message that says so.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench.plugin.vfio_trees import address_of, open_to_vfio
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
    kind: str
    """``plug`` or ``bind``."""
    busy: bool = False
    """Whether a look at the whole host begins before each change."""


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
        go, come = {"plug": (pull, plug), "bind": (unbind, bind)}[order.kind]
        for change, health in ((go, "Unhealthy"), (come, "Healthy")):
            # Not in step with anything that the program does by itself.
            time.sleep(chance.uniform(0.05, 0.15))
            if order.busy:
                # Of a subsystem of which no place is known; it begins 10 ms later.
                _report(order.doorbell, "change iommu dmar0")
                time.sleep(0.03)
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


def unbind(tree: Path, number: int, doorbell: int) -> None:
    """Take a device from vfio-pci, and report it."""
    _report(doorbell, *_leave(tree, number))


def bind(tree: Path, number: int, doorbell: int) -> None:
    """Give it back to vfio-pci, and report it."""
    _report(doorbell, *_return(tree, number))


def pull(tree: Path, number: int, doorbell: int) -> None:
    """Take a device out, and report it."""
    address = address_of(number)
    lines = _leave(tree, number)
    (tree / "sys/bus/pci/devices" / address).unlink()
    (tree / "sys/devices/pci0000:00" / address).rename(tree / f"device{number}")
    (tree / f"sys/kernel/iommu_groups/{number}").rename(tree / f"group{number}")
    _report(doorbell, *lines, f"remove pci {address}")


def plug(tree: Path, number: int, doorbell: int) -> None:
    """Put it in again, bound as before, and report it."""
    address = address_of(number)
    (tree / f"group{number}").rename(tree / f"sys/kernel/iommu_groups/{number}")
    (tree / f"device{number}").rename(tree / "sys/devices/pci0000:00" / address)
    os.symlink(f"../../../devices/pci0000:00/{address}", tree / "sys/bus/pci/devices" / address)
    _report(doorbell, f"add pci {address}", *_return(tree, number))


def _leave(tree: Path, number: int) -> list[str]:
    address, cdev = address_of(number), f"vfio{number}"
    device = tree / f"sys/devices/pci0000:00/{address}"
    (tree / f"dev/vfio/devices/{cdev}").unlink()
    (tree / f"dev/vfio/{number}").unlink()
    (tree / f"sys/class/vfio-dev/{cdev}").unlink()
    shutil.rmtree(device / "vfio-dev")
    (tree / f"sys/class/vfio/{number}").rmdir()
    (device / "driver").unlink()
    return [f"remove vfio-dev {cdev} {address}", f"remove vfio {number}", f"unbind pci {address}"]


def _return(tree: Path, number: int) -> list[str]:
    address = address_of(number)
    device = tree / f"sys/devices/pci0000:00/{address}"
    os.symlink("../../../bus/pci/drivers/vfio-pci", device / "driver")
    open_to_vfio(tree, device, number)
    return [f"add vfio {number}", f"add vfio-dev vfio{number} {address}", f"bind pci {address}"]


def _report(doorbell: int, *lines: str) -> None:
    os.write(doorbell, "".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    json.dump(run(Order(**json.load(sys.stdin))), sys.stdout)
