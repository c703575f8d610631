"""A Pod in which a virtual machine could run: what it must ask of the kubelet."""

from __future__ import annotations

from vfioctl.export.label import label
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs.root import HUGEPAGES
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_MIB = 1 << 20
_GIB = 1 << 30
OVERHEAD = _GIB
"""What libvirt lets a VM with host devices lock beyond its memory (X12), in bytes."""


class Machine(NamedTuple):
    """What a virtual machine needs beside devices; None where nothing says it."""

    name: str | None = None
    memory: int | None = None
    """Bytes."""
    cpus: int | None = None
    page: int | None = None
    """The size of its huge pages, in bytes."""


def pod(machine: Machine, resources: Mapping[str, int], image: str) -> dict[str, Any]:
    """Return a Pod whose requests equal its limits: then the kubelet may align devices, CPUs and memory.

    A container has no memory limit of its own for locking, so that it needs the right to do without one.
    """
    amounts = {**_amounts(machine), **{name: str(count) for name, count in resources.items()}}
    container: dict[str, Any] = {
        "name": "vm",
        "image": image,
        "securityContext": {"capabilities": {"add": ["IPC_LOCK"]}},
        "resources": {"limits": amounts, "requests": dict(amounts)},
    }
    spec: dict[str, Any] = {"containers": [container]}
    if machine.page is not None:
        container["volumeMounts"] = [{"name": "hugepages", "mountPath": HUGEPAGES}]
        spec["volumes"] = [
            {"name": "hugepages", "emptyDir": {"medium": f"HugePages-{_quantity(machine.page)}"}}
        ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": label(machine.name or "") or "vm"},
        "spec": spec,
    }


def _amounts(machine: Machine) -> dict[str, str]:
    amounts: dict[str, str] = {}
    if machine.cpus is not None:
        amounts["cpu"] = str(machine.cpus)
    if machine.memory is None:
        return amounts
    if machine.page is None:
        return {**amounts, "memory": _quantity(machine.memory + OVERHEAD)}
    pages = -(-machine.memory // machine.page)
    size = _quantity(machine.page)
    return {**amounts, "memory": _quantity(OVERHEAD), f"hugepages-{size}": _quantity(pages * machine.page)}


def _quantity(size: int) -> str:
    """Return bytes as Kubernetes writes them, rounded up to whole MiB."""
    if size % _GIB == 0:
        return f"{size // _GIB}Gi"
    return f"{-(-size // _MIB)}Mi"
