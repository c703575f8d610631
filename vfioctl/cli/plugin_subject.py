"""From a selector to the one thing that ``plugin explain`` is asked about."""

from __future__ import annotations

from vfioctl.cli.selection import the_one
from vfioctl.errors import NotFoundError, UsageError
from vfioctl.model.selector import MdevTerm, UsbTerm
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector
    from vfioctl.model.usb import UsbDevice


def subject_of(session: Session, host: Host, usb: tuple[UsbDevice, ...] | None, selector: Selector) -> str:
    """Return the address, UUID or USB port that a selector means.

    Raises:
        NotFoundError: there is no such thing on this host.
        UsageError: it means several.

    """
    for term in selector.terms:
        if isinstance(term, MdevTerm):
            return _mdev(host, term.uuid)
        if isinstance(term, UsbTerm):
            return _usb(usb, term.device)
    return str(the_one(session, host, selector).address)


def _mdev(host: Host, uuid: str) -> str:
    if not any(mdev.uuid == uuid for mdev in host.mdevs):
        there = " ".join(mdev.uuid for mdev in host.mdevs)
        raise NotFoundError(
            f"no mediated device {uuid} here",
            hint=f"there are: {there}" if there else "this host has no mediated devices",
        )
    return uuid


def _usb(devices: tuple[UsbDevice, ...] | None, wanted: str) -> str:
    from vfioctl.model.usb import matching

    found = matching(devices or (), wanted)
    if not found:
        there = " ".join(f"usb:{one.name} ({one.ids})" for one in devices or () if not one.is_hub)
        hint = f"USB devices: {there or 'none'}"
        if devices is None:
            hint = "this host does not say which USB devices it has"
        raise NotFoundError(f"no USB device {wanted} here", hint=hint)
    if len(found) > 1:
        raise UsageError(
            f"usb:{wanted} matches {len(found)} devices",
            hint=f"name one by its port: {' '.join(f'usb:{one.name}' for one in found)}",
        )
    return found[0].name
