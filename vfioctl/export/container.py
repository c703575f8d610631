"""The arguments that hand devices to ``docker run`` and ``podman run``."""

from __future__ import annotations

from enum import StrEnum

from vfioctl.export.cdi import KIND
from vfioctl.export.nodes import Backend, is_noiommu, nodes_after_bind, nodes_now
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs.root import HUGEPAGES, IOMMU_NODE, KVM_NODE
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.model.device import PciDevice


class Runtime(StrEnum):
    """Who starts the container."""

    DOCKER = "docker"
    PODMAN = "podman"


class Workload(StrEnum):
    """What drives the devices inside."""

    QEMU = "qemu"
    DPDK = "dpdk"
    SPDK = "spdk"


class Circumstances(NamedTuple):
    """How the container is to be started, and what of the host matters to that."""

    runtime: Runtime = Runtime.DOCKER
    workload: Workload | None = None
    backend: Backend = Backend.AUTO
    cdi: bool = False
    """Name the devices by CDI instead of by their nodes."""
    rootless: bool = False
    """Podman, started by somebody who is not root."""
    groups: tuple[int, ...] = ()
    """Groups that may open the nodes, beside root."""
    labelled: bool = False
    """SELinux keeps containers from device nodes."""


def device_nodes(device: PciDevice, backend: Backend) -> tuple[str, ...]:
    """Return the nodes of a device, or those that it will have once it is on a vfio driver."""
    if device.on_vfio:
        return nodes_now(device, backend)
    return (IOMMU_NODE,) if backend is Backend.IOMMUFD else nodes_after_bind(device)


def run_arguments(devices: Sequence[PciDevice], around: Circumstances) -> tuple[str, ...]:
    """Return the arguments, each one word of a command line."""
    return tuple(
        dict.fromkeys(
            [*_devices(devices, around), *_memory(around), *_groups(around), *_rights(devices, around)]
        )
    )


def _devices(devices: Iterable[PciDevice], around: Circumstances) -> Iterator[str]:
    for device in devices:
        if around.cdi:
            yield f"--device={KIND}={device.address}"
        else:
            yield from (f"--device={node}:rw" for node in device_nodes(device, around.backend))
    if around.workload is Workload.QEMU:
        yield f"--device={KVM_NODE}:rw"


def _memory(around: Circumstances) -> Iterator[str]:
    # All memory that a device may reach is locked (K25, X12); the usual limit is 8 MiB. A user's own limit
    # cannot be raised, only handed on.
    yield "--ulimit=host" if around.rootless else "--ulimit=memlock=-1:-1"
    if around.workload in {Workload.DPDK, Workload.SPDK}:
        yield f"--volume={HUGEPAGES}:{HUGEPAGES}"


def _groups(around: Circumstances) -> Iterator[str]:
    if around.rootless:
        # Groups of the host have no number in a user namespace; they can be kept, not named.
        yield "--group-add=keep-groups"
    else:
        yield from (f"--group-add={group}" for group in around.groups)


def _rights(devices: Iterable[PciDevice], around: Circumstances) -> Iterator[str]:
    if any(device.vfio_group_node and is_noiommu(device.vfio_group_node) for device in devices):
        yield "--cap-add=SYS_RAWIO"
    if around.labelled:
        yield "--security-opt=label=disable"
