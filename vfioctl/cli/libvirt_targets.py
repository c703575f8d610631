"""From selectors to entries of a domain: PCI functions, mediated devices, USB devices."""

from __future__ import annotations

from vfioctl.cli.selection import named, selected
from vfioctl.errors import HostCannotError, NotFoundError, UsageError
from vfioctl.model.selector import AddressTerm, MdevTerm, UsbTerm
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vfioctl.cli.session import Session
    from vfioctl.libvirt.compose import Entry, Shape, UsbForm
    from vfioctl.libvirt.settings import Settings
    from vfioctl.libvirt.values import Device
    from vfioctl.libvirt.version import Version
    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host, MdevInstance
    from vfioctl.model.selector import Selector
    from vfioctl.model.usb import UsbDevice

_SHOWN = 8


class Wish(NamedTuple):
    """How what was selected is to become entries."""

    settings: Settings
    shape: Shape
    usb_form: UsbForm | None
    """How USB devices are named; None for what suits best."""
    group: bool
    version: Version
    changing: bool
    """Whether a file is changed by it: then each selector must name its devices exactly."""
    every: bool


def entries_for(session: Session, host: Host, selectors: Sequence[Selector], wish: Wish) -> list[Entry]:
    """Return an entry for everything that is selected.

    Raises:
        NotFoundError: a selector matches nothing.
        UsageError: a selector matches too much, or a setting is not for what it matches.
        HostCannotError: there is nothing in it but bridges.

    """
    from vfioctl.libvirt.compose import mdev_entry, pci_entries, usb_entry
    from vfioctl.libvirt.guest_slot import cards
    from vfioctl.libvirt.settings import check_settings

    mdevs = [_mdev(host, one) for one in selectors if _has(one, MdevTerm)]
    usbs = [_usb(session, one, wish) for one in selectors if _has(one, UsbTerm)]
    others = [one for one in selectors if not _has(one, MdevTerm) and not _has(one, UsbTerm)]
    functions = _functions(session, host, others, wish)
    kinds: set[str] = {wish.shape.kind} if functions else set()
    kinds |= {"mdev"} if mdevs else set()
    kinds |= {"usb"} if usbs else set()
    count = len(cards([device.address for device in functions])) + len(mdevs) + len(usbs)
    check_settings(wish.settings, kinds, count)
    labels = _labels(session, functions)
    return [
        *pci_entries(labels, wish.settings, wish.shape),
        *(_siblings(session, host, functions, wish) if wish.group else ()),
        *(mdev_entry(host, mdev, wish.settings) for mdev in mdevs),
        *(usb_entry(usb, form, wish.settings) for usb, form in usbs),
    ]


def entries_to_remove(session: Session, host: Host, selectors: Sequence[Selector], wish: Wish) -> list[Entry]:
    """Return an entry for everything that is to leave a domain, also for what this host no longer has.

    Raises:
        VfioctlError: as `entries_for`.

    """
    gone = {one.text: entry for one in selectors if (entry := _gone(session, host, one)) is not None}
    there = [one for one in selectors if one.text not in gone]
    return [*gone.values(), *(entries_for(session, host, there, wish) if there else ())]


def _gone(session: Session, host: Host, selector: Selector) -> Entry | None:
    """Return an entry for a device that is named exactly and is not on this host."""
    from vfioctl.libvirt.compose import Entry
    from vfioctl.libvirt.values import MDEV_APIS, MdevHostdev, PciHostdev, UsbHostdev, name_of
    from vfioctl.model.address import PciAddress
    from vfioctl.model.usb import matching

    device: Device | None = None
    match selector.terms:
        case (AddressTerm(int() as domain, int() as bus, int() as slot, int() as function),):
            address = PciAddress(domain, bus, slot, function)
            device = None if address in host.by_address else PciHostdev(address)
        case (MdevTerm(uuid),):
            known = any(mdev.uuid == uuid for mdev in host.mdevs)
            device = None if known else MdevHostdev(uuid, MDEV_APIS[0])
        case (UsbTerm(wanted),) if not matching(read_usb_devices(session) or (), wanted):
            first, dash, rest = wanted.partition("-")
            vendor, _, product = wanted.partition(":")
            by_port = UsbHostdev(bus=int(first), port=rest) if dash else None
            device = by_port or UsbHostdev(int(vendor, 16), int(product, 16))
        case _:
            pass
    return None if device is None else Entry(device, device, name_of(device))


def read_usb_devices(session: Session) -> tuple[UsbDevice, ...] | None:
    """Read the USB devices of the host that the options name; None where it does not say which."""
    from vfioctl.sysfs.attribute import Attributes, Files
    from vfioctl.sysfs.usb import read_usb

    with session.opened() as root:
        return read_usb(Attributes(Files(root)))


def _has(selector: Selector, kind: type[MdevTerm | UsbTerm]) -> bool:
    return any(isinstance(term, kind) for term in selector.terms)


def _functions(
    session: Session, host: Host, selectors: Sequence[Selector], wish: Wish
) -> tuple[PciDevice, ...]:
    """Return the functions that selectors name; bridges among them are not meant, unless named alone."""
    if not selectors:
        return ()
    if wish.changing:
        addresses = named(host, selectors, "libvirt-xml", every=wish.every)
        return tuple(host.by_address[address] for address in addresses)
    found = selected(session, host, selectors)
    exact = {
        tuple(term)
        for one in selectors
        for term in one.terms
        if isinstance(term, AddressTerm) and _whole(term)
    }
    kept = tuple(device for device in found if device.address in exact or not _stays(device))
    if not kept:
        raise HostCannotError(
            f"there is nothing but bridges in {' '.join(one.text for one in selectors)}",
            hint="bridges stay with the host: see vfioctl scan --tree",
        )
    return kept


def _labels(session: Session, functions: Iterable[PciDevice]) -> list[tuple[PciAddress, str]]:
    """Return what a comment says of each function: address, ids and names."""
    from vfioctl.render.text import visible

    names = session.names()
    labels = []
    for device in functions:
        vendor, name = names.vendor(device.vendor_id), names.device(device.vendor_id, device.device_id)
        ids = f"[{device.vendor_id:04x}:{device.device_id:04x}]"
        words = [str(device.address), ids, vendor or "", name or ""]
        labels.append((device.address, visible(" ".join(filter(None, words)))))
    return labels


def _siblings(session: Session, host: Host, functions: Sequence[PciDevice], wish: Wish) -> list[Entry]:
    from vfioctl.libvirt.compose import sibling_entries
    from vfioctl.libvirt.host_rules import siblings

    others = siblings(host, [device.address for device in functions])
    return sibling_entries(_labels(session, [host.by_address[one] for one in others]), wish.settings)


def _mdev(host: Host, selector: Selector) -> MdevInstance:
    uuid = next(term.uuid for term in selector.terms if isinstance(term, MdevTerm))
    found = next((mdev for mdev in host.mdevs if mdev.uuid == uuid), None)
    parent = host.by_address.get(found.parent) if found else None
    if found is None or (parent is not None and not selector.matches(parent, host)):
        there = " ".join(mdev.uuid for mdev in host.mdevs[:_SHOWN])
        raise NotFoundError(
            f"nothing here matches {selector.text}",
            hint=f"mediated devices of this host: {there}" if there else "this host has no mediated devices",
        )
    return found


def _usb(session: Session, selector: Selector, wish: Wish) -> tuple[UsbDevice, UsbForm]:
    """Return the USB device that a selector means, and how it is to be named."""
    from vfioctl.model.usb import matching

    if len(selector.terms) > 1:
        raise UsageError(
            f"{selector.text}: a USB device is named by its id or port alone", hint="as in usb:046d:c52b"
        )
    wanted = next(term.device for term in selector.terms if isinstance(term, UsbTerm))
    devices = read_usb_devices(session)
    if devices is None:
        raise NotFoundError(
            "this host does not say which USB devices it has",
            hint="a snapshot has them if a vfioctl that looks at USB saved it",
        )
    found = matching(devices, wanted)
    if not found:
        there = " ".join(f"usb:{one.name} ({one.ids})" for one in devices[:_SHOWN] if not one.is_hub)
        raise NotFoundError(f"nothing here matches {selector.text}", hint=f"USB devices: {there or 'none'}")
    if found[0].is_hub:
        raise HostCannotError(
            f"{selector.text} is a hub; hubs stay with the host", hint="name what is plugged into it"
        )
    if len(found) > 1:
        places = " ".join(f"usb:{one.name}" for one in found)
        raise UsageError(
            f"{selector.text} matches {len(found)} devices: {places}", hint=f"name one by its port: {places}"
        )
    return found[0], _usb_form(found[0], devices, wanted, wish)


def _usb_form(usb: UsbDevice, devices: Sequence[UsbDevice], wanted: str, wish: Wish) -> UsbForm:
    """Choose how a USB device is named: as it was asked for, or by what says it best (X10)."""
    from vfioctl.libvirt.version import FEATURES
    from vfioctl.model.usb import matching

    unique = len(matching(devices, usb.ids)) == 1
    if wish.usb_form == "id" and not unique:
        raise UsageError(
            f"several devices have the id {usb.ids}: libvirt would refuse it", hint="use --usb-by port"
        )
    if wish.usb_form is not None:
        return wish.usb_form
    if wanted == usb.name and wish.version >= FEATURES["usb-port"].since:
        return "port"
    # The number changes at each plug; without a unique id there is nothing better before libvirt 12.
    return "id" if unique else "address"


def _whole(term: AddressTerm) -> bool:
    return None not in term


def _stays(device: PciDevice) -> bool:
    return device.is_bridge or device.word == "bridge"
