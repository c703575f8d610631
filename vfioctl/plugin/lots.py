"""What a resource would hand out, thing by thing, before anybody asks who else wants it."""

from __future__ import annotations

from vfioctl.model.address import PciAddress
from vfioctl.model.selector import MdevTerm, Selector, UsbTerm
from vfioctl.model.terms import IdsTerm
from vfioctl.model.usb import matching
from vfioctl.model.value import NamedTuple
from vfioctl.model.verdict import reasons_against
from vfioctl.plugin.selection import Selection
from vfioctl.plugin.settings import EnvStyle, Kind, Resource, Unit
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TypeAlias

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host, MdevInstance
    from vfioctl.model.usb import UsbDevice
    from vfioctl.plugin.settings import Config
    from vfioctl.plugin.sight import Sight

    Thing: TypeAlias = "PciAddress | str"

_STAYS = {"bridge", "board"}
_AUTOMATIC_ENV = (EnvStyle.KUBEVIRT,)


class Lot(NamedTuple):
    """One item as a resource would have it: what it is called, and what it takes."""

    id: str
    resource: Resource
    things: tuple[Thing, ...]
    """What no other resource can have then: addresses, UUIDs, USB ports."""
    functions: tuple[PciDevice, ...] = ()
    """The PCI functions of it; of a mediated device its parent."""
    mdev: MdevInstance | None = None
    usb: UsbDevice | None = None
    nodes: tuple[str, ...] = ()

    @property
    def group(self) -> int | None:
        """Its IOMMU group: the mediated device's own, else that of its lowest function."""
        if self.mdev is not None:
            return self.mdev.iommu_group
        return self.functions[0].iommu_group if self.functions else None

    @property
    def groups(self) -> tuple[int, ...]:
        """Every IOMMU group that it takes, its own first."""
        if self.mdev is not None or len(self.functions) < 2:  # noqa: PLR2004 - most items are one function
            return () if self.group is None else (self.group,)
        found = dict.fromkeys(function.iommu_group for function in self.functions)
        return tuple(group for group in found if group is not None)


def resources_of(host: Host, config: Config) -> tuple[Resource, ...]:
    """Return the resources of a configuration; without a file one for each model on a vfio driver."""
    if config.domain is None:
        return config.resources
    models = {
        (device.vendor_id, device.device_id)
        for device in host.devices
        if device.on_vfio and not device.is_bridge
    }
    return tuple(_automatic(config.domain, *model) for model in sorted(models))


def _automatic(domain: str, vendor: int, device: int) -> Resource:
    select = Selector(f"{vendor:04x}:{device:04x}", (IdsTerm(vendor, device, None, None),))
    return Resource(f"{domain}/{vendor:04x}_{device:04x}", Kind.PCI, (select,), env=_AUTOMATIC_ENV)


def lots(host: Host, resource: Resource, sight: Sight, selection: Selection | None = None) -> Iterator[Lot]:
    """Yield what a resource selects, as items, in the order of their ids.

    Whoever asks for several resources gives the same selection each time.
    """
    match resource.kind:
        case Kind.PCI:
            yield from _pci(host, resource, selection or Selection(host))
        case Kind.MDEV:
            yield from _mdevs(host, resource)
        case Kind.USB:
            yield from _usb(host, resource, sight.usb or ())
        case Kind.NODE:
            for number in range(resource.count):
                yield Lot(f"{resource.own_name}#{number}", resource, (), nodes=resource.paths)


def resource_named(config: Config, name: str) -> Resource | None:
    """Return a resource by its name; without a file any name stands for what is offered then."""
    if config.domain is None:
        return config.resource(name)
    return Resource(name, Kind.PCI, env=_AUTOMATIC_ENV)


def lot_named(host: Host, resource: Resource, item: str, sight: Sight) -> Lot | None:
    """Return an item as it is now, without asking for each device of the host whether it is selected."""
    match resource.kind:
        case Kind.PCI:
            address = PciAddress.from_name(item)
            device = host.by_address.get(address) if address is not None else None
            return _pci_lot(host, resource, device) if device is not None else None
        case Kind.MDEV:
            found = next((mdev for mdev in host.mdevs if mdev.uuid == item), None)
            parent = host.by_address.get(found.parent) if found is not None else None
            return Lot(item, resource, (item,), (parent,), mdev=found) if parent is not None else None
        case Kind.USB:
            usb = next((usb for usb in sight.usb or () if usb.name == item), None)
            return Lot(item, resource, (item,), usb=usb) if usb is not None else None
        case Kind.NODE:
            return Lot(item, resource, (), nodes=resource.paths)


def selects(selectors: Iterable[Selector], device: PciDevice, host: Host) -> bool:
    """Tell whether any of the selectors matches a PCI function."""
    return any(selector.matches(device, host) for selector in selectors)


def _pci(host: Host, resource: Resource, selection: Selection) -> Iterator[Lot]:
    addresses = selection.select(resource.select) - selection.select(resource.exclude)
    found = [host.by_address[address] for address in sorted(addresses)]
    # A group or a slot is named for its endpoints; what stays is spoken of if nothing else was named.
    endpoints = [device for device in found if not stays(host, device)]
    seen: set[PciAddress] = set()
    for device in endpoints or found:
        if device.address not in seen:
            lot = _pci_lot(host, resource, device)
            seen.update(function.address for function in lot.functions)
            yield lot


def _pci_lot(host: Host, resource: Resource, device: PciDevice) -> Lot:
    functions = unit_of(host, resource, device)
    addresses = tuple(function.address for function in functions)
    return Lot(str(addresses[0]), resource, addresses, functions)


def stays(host: Host, device: PciDevice) -> bool:
    """Tell whether a function stays with the host: a bridge, or the board's own that nobody gave away."""
    return not device.on_vfio and any(reason.check in _STAYS for reason in reasons_against(host, device))


def unit_of(host: Host, resource: Resource, device: PciDevice) -> tuple[PciDevice, ...]:
    """Return the functions that are allocated together with one, itself included, in address order."""
    together: Sequence[PciDevice] = ()
    if resource.unit is Unit.SLOT:
        together = host.same_slot(device)
    elif resource.unit is Unit.GROUP and (group := host.group_of(device)) is not None:
        together = host.members(group)
    others = (
        other
        for other in together
        if other.address != device.address
        and not selects(resource.exclude, other, host)
        and not stays(host, other)
    )
    return tuple(sorted((device, *others), key=lambda member: member.address))


def _mdevs(host: Host, resource: Resource) -> Iterator[Lot]:
    for mdev in host.mdevs:
        parent = host.by_address.get(mdev.parent)
        if parent is None or not _of_type(mdev, parent, resource.types):
            continue
        wanted = any(selects_mdev(selector, mdev, parent, host) for selector in resource.select)
        if wanted and not any(selects_mdev(selector, mdev, parent, host) for selector in resource.exclude):
            yield Lot(mdev.uuid, resource, (mdev.uuid,), (parent,), mdev=mdev)


def _of_type(mdev: MdevInstance, parent: PciDevice, types: tuple[str, ...]) -> bool:
    names = {mdev.type_id, *(kind.name for kind in parent.mdev_types if kind.id == mdev.type_id)}
    return not types or any(wanted in names for wanted in types)


def selects_mdev(selector: Selector, mdev: MdevInstance, parent: PciDevice, host: Host) -> bool:
    """Tell whether a selector matches a mediated device: by its UUID, or by what holds for its parent."""
    rest = tuple(term for term in selector.terms if not isinstance(term, MdevTerm))
    uuids = {term.uuid for term in selector.terms if isinstance(term, MdevTerm)}
    return uuids <= {mdev.uuid} and Selector(selector.text, rest).matches(parent, host)


def _usb(host: Host, resource: Resource, devices: tuple[UsbDevice, ...]) -> Iterator[Lot]:
    for usb in devices:
        wanted = any(selects_usb(selector, usb, host) for selector in resource.select)
        if wanted and not any(selects_usb(selector, usb, host) for selector in resource.exclude):
            yield Lot(usb.name, resource, (usb.name,), usb=usb)


def selects_usb(selector: Selector, usb: UsbDevice, host: Host) -> bool:
    """Tell whether a selector matches a USB device: by id or port, and by what holds for its controller."""
    rest = tuple(term for term in selector.terms if not isinstance(term, UsbTerm))
    if not all(matching((usb,), term.device) for term in selector.terms if isinstance(term, UsbTerm)):
        return False
    controller = host.by_address.get(usb.controller) if usb.controller else None
    return not rest or (controller is not None and Selector(selector.text, rest).matches(controller, host))
