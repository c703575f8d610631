"""From selectors to devices, and what to say when they match none or too many."""

from __future__ import annotations

from vfioctl.errors import NotFoundError, UsageError
from vfioctl.model.selector import AddressTerm, ClassTerm, DriverTerm, GroupTerm, UsbTerm, select
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfioctl.cli.session import Session
    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector, Term

_SHOWN = 8


def selected(session: Session, host: Host, selectors: Sequence[Selector]) -> tuple[PciDevice, ...]:
    """Return the devices that any selector matches; all, where none is given.

    Raises:
        NotFoundError: no selector matches anything.
        UsageError: a selector is about something other than PCI functions.

    """
    for selector in selectors:
        _refuse_usb(selector)
    found = select(host, selectors)
    if selectors and not found:
        wanted = " ".join(selector.text for selector in selectors)
        raise NotFoundError(f"nothing here matches {wanted}", hint=_nearest(host, selectors[0]))
    if len(selectors) > 1:
        for selector in selectors:
            if not any(selector.matches(device, host) for device in found):
                session.note(f"nothing here matches {selector.text}: {_nearest(host, selector)}")
    return found


def the_one(session: Session, host: Host, selector: Selector) -> PciDevice:
    """Return the only device a selector matches.

    Raises:
        NotFoundError: it matches nothing.
        UsageError: it matches several, which are listed.

    """
    found = selected(session, host, (selector,))
    if len(found) > 1:
        raise UsageError(
            f"{selector.text} matches {len(found)} devices: {_listed(found)}",
            hint=f"name one of them: vfioctl show {found[0].address}",
        )
    return found[0]


def named(
    host: Host, selectors: Sequence[Selector], command: str, *, every: bool = False
) -> tuple[PciAddress, ...]:
    """Return the devices that a command is to change: each selector must name its devices exactly.

    Where a selector means several, the bridges among them are not meant: a group or a slot is named for its
    endpoints.

    Raises:
        NotFoundError: a selector matches nothing; a half of what was asked for is never done.
        UsageError: a selector matches several devices without naming them, or is about something else.

    """
    found: set[PciAddress] = set()
    for selector in selectors:
        _refuse_usb(selector)
        matched = select(host, (selector,))
        if not matched:
            raise NotFoundError(f"nothing here matches {selector.text}", hint=_nearest(host, selector))
        if selector.foreign:
            raise UsageError(
                f"{selector.text} names {selector.foreign}; this command is about PCI functions",
                hint=f"its parent is: {' '.join(str(device.address) for device in matched)}",
            )
        if len(matched) > 1 and not (every or selector.is_exact):
            raise UsageError(
                f"{selector.text} matches {len(matched)} devices: {_listed(matched)}",
                hint=f"name one of them: vfioctl {command} {matched[0].address}; or mean all of them: --all",
            )
        endpoints = [device for device in matched if not (device.is_bridge or device.word == "bridge")]
        found.update(device.address for device in endpoints or matched)
    return tuple(sorted(found))


def _listed(devices: Sequence[PciDevice]) -> str:
    shown = [f"{device.address} ({device.word})" for device in devices[:_SHOWN]]
    more = [f"and {len(devices) - _SHOWN} more"] if len(devices) > _SHOWN else []
    return ", ".join([*shown, *more])


def _refuse_usb(selector: Selector) -> None:
    if any(isinstance(term, UsbTerm) for term in selector.terms):
        raise UsageError(
            f"{selector.text} names a USB device; this command is about PCI functions",
            hint="name the controller it is plugged into: vfioctl scan class:usb",
        )


def _nearest(host: Host, selector: Selector) -> str:
    """Say what there is instead."""
    return next((hint for term in selector.terms if (hint := _hint_for(host, term))), "see: vfioctl scan")


def _hint_for(host: Host, term: Term) -> str | None:
    match term:
        case AddressTerm():
            return _near_addresses(host, term)
        case DriverTerm():
            drivers = sorted({device.driver for device in host.devices if device.driver})
            return f"drivers in use: {' '.join(drivers) or 'none'}"
        case ClassTerm():
            words = sorted({device.word for device in host.devices})
            return f"classes on this host: {' '.join(words) or 'none'}"
        case GroupTerm() if not host.groups:
            return "this host has no IOMMU groups: see vfioctl groups"
        case GroupTerm():
            return f"its groups go from {host.groups[0].id} to {host.groups[-1].id}: see vfioctl groups"
        case _:
            return None


def _near_addresses(host: Host, term: AddressTerm) -> str:
    """Name devices that differ in function, slot or domain only."""
    wanted = (term.domain, term.bus, term.device)
    near = [device for device in host.devices if device.address[:3] == wanted]
    near = near or [device for device in host.devices if device.address[1:3] == wanted[1:]]
    near = near or [device for device in host.devices if device.address[:2] == wanted[:2]]
    if not near:
        return "see: vfioctl scan"
    return "near it: " + " ".join(str(device.address) for device in near[:_SHOWN])
