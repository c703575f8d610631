"""Machines as values, and the QEMU arguments that build them. Every device has a fixed bus and address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANNEL_SLOT: Final = "1d.0"
"""Where every machine has its virtio-serial controller: the guest's line to the lab."""
EVENTS_PORT: Final = "org.vfioctl.lab.events"
QMP_PORT: Final = "org.vfioctl.lab.qmp"

Properties = tuple[tuple[str, str], ...]


def guest_name(topology: str, kernel: str) -> str:
    """Give the name of a guest: machine and kernel, in whichever boot."""
    return f"{topology}-{kernel}"


class Device(NamedTuple):
    """One device: QEMU's model name, the bus it sits on, its slot.function there, an id, more properties."""

    model: str
    bus: str
    address: str
    id: str = ""
    properties: Properties = ()


class Backend(NamedTuple):
    """What a device needs on the host's side: a QEMU option (`netdev`, `drive` ...) and its properties."""

    option: str
    kind: str
    properties: Properties = ()


class Topology(NamedTuple):
    """A machine: its devices, backends and firmware switches, and which NIC is its way out."""

    name: str
    devices: tuple[Device, ...]
    backends: tuple[Backend, ...] = ()
    iommu: bool = True
    globals: Properties = ()
    numa_nodes: int = 1
    processors: int = 1
    """All of them share one thread of QEMU, so that more are no faster, and cost more."""
    memory_mib: int = 1024
    default_route: str = ""
    """PCI address of the NIC that gets an address and the default route."""
    disks: tuple[str, ...] = ()
    """Names of the disk images, one empty file each, that NVMe devices refer to."""
    virtual_machines: bool = False
    """Whether the guest has a QEMU of its own, to hold devices as a virtual machine does."""
    libvirt: bool = False
    """Whether it has libvirt too; then only scenarios that name the machine run on it."""
    containers: bool = False
    """Whether the guest has Podman, to hand devices to containers."""
    services: bool = False
    """Whether the guest has a systemd, to run vfioctl as a service."""
    package: bool = False
    """Whether the guest has vfioctl's Debian package, and what installs it."""
    waits: bool = False
    """Whether its scenarios wait for half of their time: for a slot's five seconds, for a watchdog, for the
    ten seconds after which something is released."""
    restarts: tuple[tuple[Device, ...], ...] = ()
    """The devices it has each time it is started again. What stands on its disk is carried over; on such a
    machine only scenarios are run that say in which boot."""

    @property
    def boots(self) -> tuple[Topology, ...]:
        """The machine as it is each time it is started."""
        return (self, *(self._replace(devices=devices) for devices in self.restarts))


def properties(*pairs: str) -> Properties:
    """Give properties from words such as `chassis=1`."""
    return tuple((key, value) for key, _, value in (pair.partition("=") for pair in pairs))


def root_port(
    number: int, slot: str, *more: str, bus: str = "pcie.0", model: str = "pcie-root-port"
) -> Device:
    """Give a PCIe root port with its own chassis number and the id `rpN`."""
    return Device(model, bus, slot, f"rp{number}", properties(f"chassis={number}", f"slot={number}", *more))


def joined(*head: str, pairs: Properties = ()) -> str:
    """Give one QEMU option value; a comma inside a value is doubled, as QEMU reads it."""
    return ",".join([*head, *(f"{key}={value.replace(',', ',,')}" for key, value in pairs)])


def machine_arguments(topology: Topology) -> list[str]:
    """Give the arguments for board, processors, memory and NUMA nodes."""
    board = ["-machine", "q35,kernel-irqchip=split" if topology.iommu else "q35"]
    arguments = [*board, "-nodefaults", "-display", "none", "-no-reboot", "-smp", str(topology.processors)]
    arguments += ["-m", f"{topology.memory_mib}M"]
    if topology.numa_nodes > 1:
        share = topology.memory_mib // topology.numa_nodes
        for node in range(topology.numa_nodes):
            arguments += ["-object", f"memory-backend-ram,id=mem{node},size={share}M"]
            arguments += ["-numa", f"node,nodeid={node},cpus={node},memdev=mem{node}"]
    for key, value in topology.globals:
        arguments += ["-global", f"{key}={value}"]
    return arguments


def device_arguments(topology: Topology, disks: dict[str, str]) -> list[str]:
    """Give the arguments for IOMMU, backends and devices; disks maps the name of each disk to its file."""
    arguments = []
    if topology.iommu:
        arguments += ["-device", "intel-iommu,intremap=on,caching-mode=on"]
    for name, path in disks.items():
        drive = properties("if=none", f"id={name}", "format=raw", "cache=unsafe", f"file={path}")
        arguments += ["-drive", joined(pairs=drive)]
    for backend in topology.backends:
        arguments += [f"-{backend.option}", joined(backend.kind, pairs=backend.properties)]
    for device in topology.devices:
        arguments += ["-device", device_value(device)]
    return arguments


def device_value(device: Device) -> str:
    """Give the value of `-device` for one device."""
    place = [("bus", device.bus)] if device.bus else []
    if device.address:
        place.append(("addr", device.address))
    name = [("id", device.id)] if device.id else []
    return joined(device.model, pairs=(*name, *place, *device.properties))


def channel_arguments(events: str, monitor: str) -> list[str]:
    """Give the arguments for the guest's lines: events to a socket of the lab ("" = nobody), and the monitor.

    QEMU connects to its monitor's socket itself, so the guest speaks QMP through a virtio-serial port.
    """
    controller = Device("virtio-serial-pci", "pcie.0", CHANNEL_SLOT, "channel")
    return [
        *("-chardev", f"socket,id=events,path={events}" if events else "null,id=events"),
        *(
            "-chardev",
            f"socket,id=monitor,path={monitor},server=on,wait=off",
            "-mon",
            "chardev=monitor,mode=control",
        ),
        *("-chardev", f"socket,id=qmp,path={monitor}"),
        *("-device", device_value(controller)),
        *("-device", f"virtserialport,bus=channel.0,nr=1,chardev=events,name={EVENTS_PORT}"),
        *("-device", f"virtserialport,bus=channel.0,nr=2,chardev=qmp,name={QMP_PORT}"),
    ]


def multifunction(*devices: Device) -> Iterator[Device]:
    """Give the functions of one card: function 0 says that there are more."""
    first, *others = devices
    yield first._replace(properties=(*first.properties, ("multifunction", "on")))
    yield from others
