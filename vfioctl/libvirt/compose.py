"""From devices of a host and settings to entries of a domain."""

from __future__ import annotations

from vfioctl.libvirt.guest_slot import place
from vfioctl.libvirt.settings import NO_SETTINGS, for_others
from vfioctl.libvirt.values import (
    MDEV_APIS,
    UNASSIGNED,
    GuestAddress,
    Info,
    MdevHostdev,
    NvmeDisk,
    PciHostdev,
    UsbHostdev,
    VfInterface,
)
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from vfioctl.libvirt.settings import Settings
    from vfioctl.libvirt.values import Device
    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host, MdevInstance
    from vfioctl.model.usb import UsbDevice

    UsbForm = Literal["id", "address", "port"]

DEFAULT_TARGET = "vda"
"""The name of an NVMe disk in the guest, where none is asked for."""


class Entry(NamedTuple):
    """A device as it is to stand in a domain."""

    device: Device
    asked: Device
    """The same with nothing but what was asked for: what an entry that is there already must agree with."""
    label: str
    """What a comment says of it; its first word is the device's name."""
    place: UsbDevice | PciAddress | None = None
    """What a USB device is on this host, or a mediated device's parent."""
    sibling: bool = False
    """There for its group's sake only."""


class Shape(NamedTuple):
    """What PCI functions become."""

    interface: bool = False
    namespace: int | None = None
    """Of an NVMe controller, as a disk; None for the whole function."""

    @property
    def kind(self) -> Literal["pci", "interface", "nvme"]:
        """The word for it."""
        return "interface" if self.interface else "pci" if self.namespace is None else "nvme"


WHOLE = Shape()
"""Plain host devices."""


def pci_entries(
    functions: Sequence[tuple[PciAddress, str]], settings: Settings, shape: Shape = WHOLE
) -> list[Entry]:
    """Make entries of PCI functions, given with their labels; the first gets what only one can have."""
    places: dict[PciAddress, GuestAddress] = {}
    if settings.guest_slot is not None:
        places = place([address for address, _ in functions], settings.guest_slot)
    entries = []
    for index, (address, label) in enumerate(functions):
        own = for_others(settings) if index else settings
        asked = _function(address, own, shape, places.get(address))
        entries.append(Entry(_with_defaults(asked), asked, label))
    return entries


def sibling_entries(functions: Sequence[tuple[PciAddress, str]], settings: Settings) -> list[Entry]:
    """Make entries of functions that libvirt must detach and the guest must not see (X2)."""
    own = NO_SETTINGS._replace(managed=settings.managed)
    entries = []
    for address, label in functions:
        made = _function(address, own, WHOLE, UNASSIGNED)
        asked = PciHostdev(address, managed=settings.managed)
        entries.append(Entry(_with_defaults(made), asked, label, sibling=True))
    return entries


def mdev_entry(host: Host, mdev: MdevInstance, settings: Settings) -> Entry:
    """Make the entry of a mediated device."""
    slot = settings.guest_slot
    guest = None if slot is None else GuestAddress(slot.bus, slot.slot)
    device = MdevHostdev(
        uuid=mdev.uuid,
        model=_device_api(host, mdev),
        display=settings.display,
        ramfb=settings.ramfb,
        info=Info(alias=settings.alias, acpi_index=settings.acpi_index, guest=guest),
    )
    label = f"mdev:{mdev.uuid} of {mdev.parent}" + (f", {mdev.type_id}" if mdev.type_id else "")
    return Entry(device, device, label, mdev.parent)


def usb_entry(usb: UsbDevice, form: UsbForm, settings: Settings) -> Entry:
    """Make the entry of a USB device, named by its id, its number on the bus, or its port."""
    by_port = form == "port"
    device = UsbHostdev(
        vendor_id=None if by_port else usb.vendor_id,
        product_id=None if by_port else usb.product_id,
        bus=None if form == "id" else usb.bus,
        device=usb.device if form == "address" else None,
        port=usb.port if by_port else None,
        startup_policy=settings.startup_policy,
        guest_reset=settings.guest_reset,
        info=Info(boot=settings.boot, alias=settings.alias),
    )
    label = f"usb:{usb.name} [{usb.ids}]" + (f" on {usb.controller}" if usb.controller else "")
    return Entry(device, device, label, usb)


def _function(
    address: PciAddress, settings: Settings, shape: Shape, guest: GuestAddress | Literal["unassigned"] | None
) -> PciHostdev | VfInterface | NvmeDisk:
    info = Info(
        boot=settings.boot,
        alias=settings.alias,
        rom=settings.rom_value(),
        acpi_index=settings.acpi_index,
        acpi_nodeset=settings.acpi_nodeset,
        guest=guest,
    )
    match shape.kind:
        case "pci":
            return PciHostdev(
                source=address,
                managed=settings.managed,
                driver_model=settings.driver_model,
                iommufd=settings.iommufd,
                display=settings.display,
                ramfb=settings.ramfb,
                teaming=settings.teaming,
                info=info,
            )
        case "interface":
            return VfInterface(
                source=address,
                managed=settings.managed,
                mac=settings.mac,
                vlan=settings.vlan,
                trust=settings.trust,
                driver_model=settings.driver_model,
                iommufd=settings.iommufd,
                teaming=settings.teaming,
                info=info,
            )
        case "nvme":
            target = settings.target or ""
            return NvmeDisk(address, shape.namespace or 1, target, managed=settings.managed, info=info)
        case _:
            assert_never(shape.kind)


def _with_defaults(
    asked: PciHostdev | VfInterface | NvmeDisk,
) -> PciHostdev | VfInterface | NvmeDisk:
    # The default of vfioctl: libvirt takes the device when the VM starts and gives it back when it ends,
    # which is right for one that was bound before as well (X1).
    made = asked if asked.managed is not None else asked._replace(managed=True)
    return made._replace(target=made.target or DEFAULT_TARGET) if isinstance(made, NvmeDisk) else made


def _device_api(host: Host, mdev: MdevInstance) -> str:
    parent = host.by_address.get(mdev.parent)
    types = parent.mdev_types if parent is not None else ()
    said = next((kind.device_api for kind in types if kind.id == mdev.type_id), None)
    return said or MDEV_APIS[0]
