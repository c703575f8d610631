"""Rules that a device's settings must keep on any host, also where there is no schema to ask."""

from __future__ import annotations

import re

from vfioctl.libvirt.findings import Finding, impossible, wrong
from vfioctl.libvirt.values import (
    GUEST_RESETS,
    MDEV_APIS,
    STARTUP_POLICIES,
    UNASSIGNED,
    GuestAddress,
    MdevHostdev,
    NvmeDisk,
    PciHostdev,
    UsbHostdev,
    VfInterface,
    name_of,
)
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.libvirt.values import Device, Info

# The patterns are those of libvirt's schema; each is compiled when it is needed first.
_ALIAS = r"ua-[a-zA-Z0-9_.-]+"
_DRIVER = r"[a-zA-Z0-9_+-]+"
_NODESET = r"[0-9]+(?:-[0-9]+)?(?:,\^?[0-9]+(?:-[0-9]+)?)*"
_MAC = r"(?i)[0-9a-f][02468ace](?::[0-9a-f]{2}){5}"
_NO_MAC = "00:00:00:00:00:00"
_TARGET = r"(?:fd|hd|sd|vd|xvd|ubd)[a-zA-Z0-9_]+"
_PORT = r"[0-9]{1,3}(?:\.[0-9]{1,3}){0,3}"
_NO_TEXT = "[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]"
_MOST_ACPI_INDEX = 16383  # QEMU's own limit
_MOST_VLAN = 4094  # 4095 is reserved by 802.1Q
_MOST_BUS, _MOST_SLOT, _MOST_FUNCTION = 0xFF, 0x1F, 7
_MOST_ORDER = 0x7FFFFFFF
_MOST_NAMESPACE = 0xFFFFFFFE


def value_findings(device: Device) -> Iterator[Finding]:
    """Yield what is wrong with a device's settings."""
    name = name_of(device)
    for check, message, hint in _wrong_settings(device):
        yield wrong(check, name, message, hint)
    if isinstance(device, PciHostdev | VfInterface | NvmeDisk) and device.source.in_software_domain:
        yield impossible(
            "X14",
            name,
            "its domain was made by a driver such as Intel VMD; what is in it cannot be given away",
            "give away the VMD controller itself",
        )


def _wrong_settings(device: Device) -> Iterator[tuple[str, str, str]]:
    yield from _wrong_info(device.info)
    match device:
        case PciHostdev():
            yield from _wrong_driver(device.driver_model)
            yield from _wrong_teaming(device.teaming)
            yield from _wrong_display(display=device.display, ramfb=device.ramfb)
        case VfInterface():
            yield from _wrong_driver(device.driver_model)
            yield from _wrong_teaming(device.teaming)
            yield from _wrong_network(device)
        case MdevHostdev():
            yield from _wrong_mdev(device)
        case UsbHostdev():
            yield from _wrong_usb(device)
        case NvmeDisk():
            yield from _wrong_disk(device)
    if device.info.guest == UNASSIGNED and not isinstance(device, PciHostdev):
        yield "X2", "only a plain PCI host device can be unassigned", "leave --group out"


def _wrong_info(info: Info) -> Iterator[tuple[str, str, str]]:
    if info.boot is not None and not 1 <= info.boot <= _MOST_ORDER:
        yield "X8", f"the boot order {info.boot} is no positive number", "count from 1"
    if info.alias is not None and not re.fullmatch(_ALIAS, info.alias):
        yield (
            "X13",
            f"libvirt would drop the alias {info.alias!r}",
            "begin it with ua-, and use letters, digits, '_', '-' and '.'",
        )
    if info.rom is not None:
        if info.rom.enabled is False and (info.rom.file is not None or info.rom.bar is not None):
            yield "X7", "a disabled ROM has neither a file nor a bar", "choose one of them"
        if info.rom.file is not None and (
            not info.rom.file.startswith("/") or info.rom.file == "/" or re.search(_NO_TEXT, info.rom.file)
        ):
            yield "X7", f"the ROM file {info.rom.file!r} is no absolute path", "write the whole path"
    if info.acpi_index is not None and not 1 <= info.acpi_index <= _MOST_ACPI_INDEX:
        yield "acpi", f"the ACPI index {info.acpi_index} is out of range", f"use 1 to {_MOST_ACPI_INDEX}"
    if info.acpi_nodeset is not None and not re.fullmatch(_NODESET, info.acpi_nodeset):
        yield "acpi", f"{info.acpi_nodeset!r} is no set of NUMA nodes", "write it as in 0-3,5"
    if isinstance(info.guest, GuestAddress):
        yield from _wrong_guest(info.guest)


def _wrong_guest(guest: GuestAddress) -> Iterator[tuple[str, str, str]]:
    if not (
        0 <= guest.bus <= _MOST_BUS
        and 0 <= guest.slot <= _MOST_SLOT
        and 0 <= guest.function <= _MOST_FUNCTION
    ):
        yield "guest-slot", f"{guest} is no address in the guest", "bus 00 to ff, slot 00 to 1f"
    if (guest.bus, guest.slot) == (0, 0):
        yield "guest-slot", "00:00 is the guest's own host bridge", "use another slot, as in 05:00"
    if guest.multifunction and guest.function:
        yield "H53", "multifunction belongs to function 0 only", "leave it out for the others"


def _wrong_driver(model: str | None) -> Iterator[tuple[str, str, str]]:
    if model is not None and not re.fullmatch(_DRIVER, model):
        yield "X3", f"{model!r} is no name of a driver", "use its name, as in mlx5_vfio_pci"


def _wrong_teaming(persistent: str | None) -> Iterator[tuple[str, str, str]]:
    if persistent is not None and not re.fullmatch(_ALIAS, persistent):
        yield (
            "X13",
            f"{persistent!r} cannot be the alias of an interface of one's own",
            "name the alias that the virtio interface has, as in ua-backup0",
        )


def _wrong_display(*, display: bool | None, ramfb: bool | None) -> Iterator[tuple[str, str, str]]:
    if ramfb and not display:
        yield "X9", "ramfb needs the display", "add --display on"


def _wrong_network(device: VfInterface) -> Iterator[tuple[str, str, str]]:
    if device.mac is not None and (not re.fullmatch(_MAC, device.mac) or device.mac == _NO_MAC):
        yield "X5", f"{device.mac!r} is no MAC address of one interface", "as in 52:54:00:12:34:56"
    if device.vlan is not None and not 1 <= device.vlan <= _MOST_VLAN:
        yield "X5", f"there is no VLAN {device.vlan}", f"use 1 to {_MOST_VLAN}"


def _wrong_mdev(device: MdevHostdev) -> Iterator[tuple[str, str, str]]:
    if device.model not in MDEV_APIS:
        yield "X4", f"libvirt knows no mediated devices of the kind {device.model!r}", "see its parent"
    yield from _wrong_display(display=device.display, ramfb=device.ramfb)
    if (device.display or device.ramfb) and device.model != MDEV_APIS[0]:
        yield "X9", f"a device of the kind {device.model} has no display", "leave the display out"
    if device.info.boot is not None:
        yield "X8", "libvirt cannot boot from a mediated device", "leave --boot out"


def _wrong_usb(device: UsbHostdev) -> Iterator[tuple[str, str, str]]:
    by_id = device.vendor_id is not None and device.product_id is not None
    by_place = device.bus is not None and (device.device is None) != (device.port is None)
    if not (by_id or by_place) or (device.bus is not None) != by_place:
        yield "X10", "nothing says which USB device it is", "give its id, or bus and port"
    if device.port is not None and not re.fullmatch(_PORT, device.port):
        yield "X10", f"{device.port!r} is no port path", "write it as in 1.2.5, four ports at most"
    if device.startup_policy is not None and device.startup_policy not in STARTUP_POLICIES:
        yield "usb", f"unknown startup policy {device.startup_policy!r}", " ".join(STARTUP_POLICIES)
    if device.guest_reset is not None and device.guest_reset not in GUEST_RESETS:
        yield "usb", f"unknown guest reset {device.guest_reset!r}", " ".join(GUEST_RESETS)


def _wrong_disk(device: NvmeDisk) -> Iterator[tuple[str, str, str]]:
    if not 1 <= device.namespace <= _MOST_NAMESPACE:
        yield "nvme", f"there is no NVMe namespace {device.namespace}", "namespaces count from 1"
    if not re.fullmatch(_TARGET, device.target):
        yield "nvme", f"{device.target!r} is no name of a disk in the guest", "as in vda"
