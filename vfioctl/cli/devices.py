"""List devices: what ``vfioctl scan`` does once it is understood."""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfioctl.cli.session import Session
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector


def list_devices(
    session: Session, selectors: Sequence[Selector] = (), *, wide: bool = False, tree: bool = False
) -> None:
    """Read a host, print the devices that were asked for, and note what an administrator must know.

    Raises:
        VfioctlError: the host cannot be read, or nothing matches.

    """
    host = session.host(outline=True)
    print_devices(session, host, _wanted(session, host, selectors), wide=wide, tree=tree)
    session.note_no_iommu(host)
    session.note_unread(host)


def _wanted(session: Session, host: Host, selectors: Sequence[Selector]) -> Sequence[PciDevice]:
    if not selectors:
        return host.devices
    from vfioctl.cli.selection import selected

    return selected(session, host, selectors)


def print_devices(
    session: Session, host: Host, devices: Sequence[PciDevice], *, wide: bool, tree: bool
) -> None:
    """Print devices in the session's form."""
    names = session.names()
    if session.form == "json":
        from vfioctl.render.device_document import device_texts
        from vfioctl.render.document import scan_document

        session.print_document(scan_document(host, device_texts(host, devices, names)))
        return
    from vfioctl.render.scan import View, scan_lines

    view = View(session.width, wide, tree, verbose=session.verbose, colored=session.colored)
    session.print_lines(scan_lines(host, devices, names, view))
