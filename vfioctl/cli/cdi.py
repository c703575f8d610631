"""``vfioctl cdi``: specifications of the Container Device Interface."""

from __future__ import annotations

import sys

import click

from vfioctl.cli.change_params import ModeType, OwnerType
from vfioctl.cli.command import HELP_NAMES, Command, LazyGroup
from vfioctl.cli.export_params import BACKENDS, static_option
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, FilePath, SelectorType
from vfioctl.cli.session import writing
from vfioctl.cli.tree import COMMANDS
from vfioctl.errors import DriftError, UsageError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.change_params import Owner
    from vfioctl.cli.export_targets import Wish
    from vfioctl.cli.session import Session
    from vfioctl.model.selector import Selector


@click.group(
    "cdi",
    cls=LazyGroup,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["cdi"][1],
    subcommand_metavar="COMMAND [ARGS]...",
    help="""Give devices names that Podman, Docker, containerd and CRI-O understand, by the Container Device
Interface (CDI): podman run --device vfioctl.io/vfio=0000:65:00.0. The runtime then knows the nodes, which
change whenever a device is bound.""",
    epilog="""\b
Examples:
  vfioctl cdi generate             every device that is on a vfio driver
  vfioctl cdi list                 what is stored, and whether it still holds
  podman run --device vfioctl.io/vfio=0000:65:00.0 ...
""",
)
def command() -> None:
    """Make, list and remove specifications."""


_folder_option = click.option(
    "--dir", "folder", type=FilePath(), metavar="DIR", help="Use this folder instead of the system's."
)


@command.command(
    "generate",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Write the specification of the devices that are on a vfio driver.",
    help="""Write a specification that has exactly the devices that are selected, or all that are on a vfio
driver. A device brings the other endpoints of its IOMMU group; --device-only leaves them. What was in the
file before is replaced; if it says so already, nothing is written.

The nodes of a device change when it is bound again: generate again then, or let --watch do it, which stays
and follows every bind and unbind, whoever makes it. Files in /var/run/cdi are gone after a reboot, as the
bindings are; --static writes to /etc/cdi.""",
    epilog="""\b
Examples:
  vfioctl cdi generate                          all devices on a vfio driver
  vfioctl cdi generate --watch                  the same from now on; for a unit
  vfioctl cdi generate --owner qemu:kvm 65:00   for a QEMU inside that is not root
  vfioctl cdi generate --print class:gpu        to look at, or to store elsewhere
""",
)
@click.argument(
    "selectors",
    nargs=-1,
    type=SelectorType(),
    metavar="[SELECTOR]...",
    cls=Argument,
    help="Which devices: 65:00.0, class:gpu, group:17 ... (all on a vfio driver, if none is given).",
)
@static_option
@_folder_option
@click.option("--print", "printing", is_flag=True, help="Print the specification; write nothing.")
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="auto",
    help="Nodes: of the group (legacy), of the device (iommufd), or both where there are both (auto).",
)
@click.option(
    "--owner",
    type=OwnerType(),
    metavar="USER[:GROUP]",
    help="Owner of the nodes inside the container, by name or number of this host.",
)
@click.option("--mode", type=ModeType(), metavar="OCTAL", help="Mode of the nodes inside, such as 0660.")
@click.option("--device-only", is_flag=True, help="Leave the other endpoints of the group out.")
@click.option("--watch", is_flag=True, help="Stay, and write again whenever a device is bound or unbound.")
@click.option(
    "--print-unit", is_flag=True, help="Print the unit that runs --watch under systemd; write nothing."
)
@pass_session
def generate(
    session: Session,
    *,
    selectors: tuple[Selector, ...],
    static: bool,
    folder: str | None,
    printing: bool,
    backend: str,
    owner: Owner | None,
    mode: int | None,
    device_only: bool,
    watch: bool,
    print_unit: bool,
) -> None:
    """Write or print a specification."""
    if print_unit:
        from vfioctl.cli import unit

        unit.print_unit(unit.CDI)
        return
    from vfioctl.cli.export_targets import Wish, refuse_snapshot
    from vfioctl.export.cdi import Access

    if not (printing or folder):
        refuse_snapshot(session)
    place = _folder(folder, static=static)
    access = Access(owner.uid if owner else None, owner.gid if owner else None, mode)
    wish = Wish(selectors, backend, access, device_only)
    if watch:
        _watch(session, place, wish, printing=printing)
    else:
        _generate(session, place, wish, printing=printing, static=static)


def _watch(session: Session, place: str, wish: Wish, *, printing: bool) -> None:
    from vfioctl.cli.cdi_watch import watch_host

    if printing:
        raise UsageError("--watch writes, and --print does not", hint="choose one of them")
    watch_host(session, place, wish)


def _generate(session: Session, place: str, wish: Wish, *, printing: bool, static: bool) -> None:
    from vfioctl.cli.cdi_output import note_findings, report_written
    from vfioctl.cli.export_targets import devices_for_cdi
    from vfioctl.export.cdi import spec_text

    host = session.host()
    devices, findings = devices_for_cdi(session, host, wish)
    if printing:
        with writing():
            sys.stdout.write(spec_text(devices))
    else:
        report_written(session, place, devices, findings)
        if static and devices:
            session.note("groups may be numbered anew at the next boot; vfioctl cdi list tells")
    note_findings(session, findings)
    session.note_unread(host)


@command.command(
    "list",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="List the stored names, and whether they still hold.",
    help="""List the names that are stored in /etc/cdi and /var/run/cdi, with their nodes, and whether the
host still is as they say. Exits with 10 if one does not hold any more: generate again then.""",
    epilog="""\b
Examples:
  vfioctl cdi list
  vfioctl cdi list || vfioctl cdi generate
""",
)
@_folder_option
@pass_session
def listing(session: Session, folder: str | None) -> int:
    """List what is stored."""
    from vfioctl.cli.cdi_output import print_stored
    from vfioctl.export.cdi_files import read_stored
    from vfioctl.sysfs.reader import read_host

    with session.opened() as root:
        host = read_host(root)
        places = [folder] if folder else [root.local(place) for place in _places()]
        stored = [found for place in places if (found := read_stored(place)) is not None]
    current = print_stored(session, host, stored)
    session.note_unread(host)
    return 0 if current else DriftError.exit_code


@command.command(
    "remove",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Remove stored names, all of them or some.",
    help="""Remove names from /etc/cdi and /var/run/cdi: those of the selected devices, or all that vfioctl
stored there. Containers that run keep their devices. A device that is gone is named by its address.""",
    epilog="""\b
Examples:
  vfioctl cdi remove -n              show everything that cdi generate wrote
  vfioctl cdi remove                 and remove it
  vfioctl cdi remove 65:00.0
""",
)
@click.argument(
    "selectors",
    nargs=-1,
    type=SelectorType(),
    metavar="[SELECTOR]...",
    cls=Argument,
    help="Which devices (all, if none is given).",
)
@static_option
@_folder_option
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be removed.")
@pass_session
def remove(
    session: Session, *, selectors: tuple[Selector, ...], static: bool, folder: str | None, dry_run: bool
) -> None:
    """Remove what is stored."""
    from vfioctl.cli.cdi_output import report_removed
    from vfioctl.cli.export_targets import refuse_snapshot

    if not folder:
        refuse_snapshot(session)
    places = [_folder(folder, static=static)] if folder or static else list(_places())
    report_removed(session, places, selectors, dry_run=dry_run)


def _folder(folder: str | None, *, static: bool) -> str:
    from vfioctl.sysfs.root import CDI_RUNTIME, CDI_STATIC

    if folder and static:
        raise UsageError("--dir and --static exclude each other", hint="choose one of them")
    return folder or (CDI_STATIC if static else CDI_RUNTIME)


def _places() -> tuple[str, ...]:
    from vfioctl.sysfs.root import CDI_RUNTIME, CDI_STATIC

    return CDI_STATIC, CDI_RUNTIME
