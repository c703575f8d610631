"""Hosts for planning, drawn at random or spelled out, and what stands around a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.model.factory import MODERN, OLD, make_device, make_group, make_host, make_port
from vfioctl.model.binding import Binding, Record
from vfioctl.model.device import PhysicalFunction, VirtualFunction
from vfioctl.model.drivers import DriverCatalog, ModuleAlias
from vfioctl.model.situation import Situation
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.plan.plan import Request

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.plan.plan import Plan

CATALOG = DriverCatalog(
    registered=frozenset(
        {"vfio-pci", "nvme", "igb", "nvidia", "snd_hda_intel", "ehci-pci", "shpchp", "pci-stub"}
    ),
    loaded=(("vfio_pci", "vfio-pci"), ("nvme", "nvme"), ("ehci_pci", "ehci-pci")),
    present=frozenset({"vfio_pci", "vfio_iommu_type1", "nvme", "igb", "ehci_pci"}),
    loadable=frozenset(
        {"vfio_pci", "vfio_iommu_type1", "nvme", "igb", "ehci_pci", "mlx5_vfio_pci", "xe_vfio_pci"}
    ),
    vfio_aliases=(
        ModuleAlias("v*d*sv*sd*bc*sc*i*", "vfio_pci"),
        ModuleAlias("v000015B3d0000101Esv*sd*bc*sc*i*", "mlx5_vfio_pci"),
        ModuleAlias("v000010DEd00002342sv*sd*bc*sc*i*", "nvgrace_gpu_vfio_pci"),
    ),
)
"""A kernel with vfio-pci loaded, one variant driver that can be loaded, and one that is not installed."""

NOWHERE = Situation(boot_id="this-boot")
"""Nothing recorded, no session, nothing open."""

VM = Usage(UsageKind.VM, "pid 2718", "VM win11 (qemu-system-x86, pid 2718) has /dev/vfio/1 open")


def records_of(host: Host, plan: Plan) -> tuple[Record, ...]:
    """Return what a bind that was carried out leaves behind."""
    devices = [(host.by_address[move.address], move) for move in plan.moves]
    return tuple(
        Record(device.address, device.vendor_id, device.device_id, move.before)
        for device, move in devices
        if not device.on_vfio
    )


def bindings(host: Host) -> dict[PciAddress, Binding]:
    """Return who drives every device of a host."""
    return {device.address: Binding(device.driver, device.driver_override) for device in host.devices}


_HOST_DRIVERS = (None, "nvme", "igb", "ehci-pci", "pci-stub")
_DRIVERS = (*_HOST_DRIVERS, "vfio-pci", "mlx5_vfio_pci")
_CLASSES = (0x010802, 0x020000, 0x030000, 0x040300, 0x0C0300, 0x0C0320, 0x0C0500, 0x060100)
_USES = (
    Usage(UsageKind.MOUNT, "nvme0n1p2", "nvme0n1p2 is mounted on /", critical=True),
    Usage(UsageKind.ROUTE, "eth0", "the default route (IPv4) leaves through eth0"),
    Usage(UsageKind.INPUT, "keyboard", "the keyboard AT is behind it"),
)


@st.composite
def hosts(draw: st.DrawFn, *, vfio: bool = True) -> Host:
    """Return hosts with shared groups, companions, bridges, VFs and odd overrides; some with VFIO in use."""
    names = draw(
        st.lists(
            st.tuples(st.integers(1, 3), st.sampled_from([0, 1, 7])), min_size=1, max_size=7, unique=True
        )
    )
    devices = [_device(draw, f"65:{slot:02x}.{function}", vfio=vfio) for slot, function in sorted(names)]
    if draw(st.booleans()):
        driver = draw(st.sampled_from(["pcieport", "shpchp", None]))
        devices.append(make_port("00:01.0", driver=driver, iommu_group=draw(st.integers(0, 4))))
    if len(devices) > 1 and draw(st.booleans()):
        first, second = draw(st.permutations(devices))[:2]
        devices.remove(first)
        devices.remove(second)
        devices.append(first._replace(companions=(second.address,)))
        devices.append(second._replace(companions=(first.address,)))
    return make_host(*devices, kernel=draw(st.sampled_from([MODERN, OLD, None])))


def _device(draw: st.DrawFn, name: str, *, vfio: bool) -> PciDevice:
    driver = draw(st.sampled_from(_DRIVERS if vfio else _HOST_DRIVERS))
    fields: dict[str, Any] = {
        "class_code": draw(st.sampled_from(_CLASSES)),
        "driver": driver,
        "driver_override": draw(st.sampled_from([None, None, "none", driver])),
        "iommu_group": draw(st.sampled_from([0, 1, 2, 3, 4, None])),
        "device_id": draw(st.sampled_from([0x10E8, 0x101E])),
        "vendor_id": draw(st.sampled_from([0x8086, 0x15B3])),
        "usage": draw(st.sampled_from([(), (), (), *((use,) for use in _USES), *([(VM,)] if vfio else [])])),
        "unbinding": vfio and driver is None and draw(st.integers(0, 9)) == 0,
    }
    kind = draw(st.integers(0, 9))
    device = make_device(name, **fields)
    if kind == 0:
        return device._replace(sriov=PhysicalFunction(4, ()))
    return device._replace(sriov=VirtualFunction(device.address._replace(bus=1), 0)) if kind == 1 else device


@st.composite
def requests(draw: st.DrawFn, host: Host, *, drivers: tuple[str | None, ...] = (None,)) -> Request:
    """Return requests for some of a host's devices."""
    addresses = [device.address for device in host.devices]
    asked = draw(st.lists(st.sampled_from(addresses), min_size=1, max_size=2, unique=True))
    return Request(
        devices=tuple(sorted(asked)),
        driver=draw(st.sampled_from(drivers)),
        device_only=draw(st.booleans()),
        release_shpchp=draw(st.booleans()),
        uid=draw(st.sampled_from([None, 0, 107])),
        mode=draw(st.sampled_from([None, 0o660])),
    )


__all__ = [
    "CATALOG",
    "MODERN",
    "NOWHERE",
    "OLD",
    "VM",
    "bindings",
    "hosts",
    "make_device",
    "make_group",
    "make_host",
    "make_port",
    "records_of",
    "requests",
]
