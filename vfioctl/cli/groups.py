"""``vfioctl groups``: IOMMU groups, explained."""

from __future__ import annotations

import click

from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, SelectorType
from vfioctl.cli.selection import selected
from vfioctl.cli.tree import COMMANDS
from vfioctl.errors import NotFoundError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfioctl.cli.session import Session
    from vfioctl.model.group import IommuGroup
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector


@click.command(
    "groups",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["groups"][1],
    help="""Explain the IOMMU groups. Devices of one group can only be given to VMs together: for each group,
who is in it, whether it is viable now and because of whom not, what to type to make it so, what the host
would lose by that, and why these devices are together.

Selectors pick the groups of the devices they match. A host without an IOMMU has no groups; that is said, and
is no error.""",
    epilog="""\b
Examples:
  vfioctl groups                 every group
  vfioctl groups class:gpu       what goes together with the GPUs
  vfioctl groups --shared        only groups with several members
  vfioctl groups net:enp1s0      the group of the card behind an interface
""",
)
@click.argument(
    "selectors",
    nargs=-1,
    type=SelectorType(),
    metavar="[SELECTOR]...",
    cls=Argument,
    help="Whose groups: 65:00.0, class:gpu, group:17, net:enp1s0 ... (all, if none is given).",
)
@click.option("--shared", is_flag=True, help="Show only groups with several members.")
@pass_session
def command(session: Session, selectors: tuple[Selector, ...], shared: bool) -> None:
    """Explain the IOMMU groups."""
    host = session.host()
    groups = _wanted(session, host, selectors)
    if shared:
        groups = [group for group in groups if len(group.members) + len(group.other_members) > 1]
    _print(session, host, groups)
    session.note_unread(host)


def _wanted(session: Session, host: Host, selectors: Sequence[Selector]) -> Sequence[IommuGroup]:
    devices = selected(session, host, selectors)
    if not selectors or not host.groups:
        return host.groups
    numbers = {device.iommu_group for device in devices}
    groups = [group for group in host.groups if group.id in numbers]
    if not groups:
        raise NotFoundError(
            f"{devices[0].address} is in no IOMMU group", hint=f"see: vfioctl show {devices[0].address}"
        )
    return groups


def _print(session: Session, host: Host, groups: Sequence[IommuGroup]) -> None:
    if session.form == "json":
        from vfioctl.render.group_document import groups_document

        if not host.groups:
            session.note_no_iommu(host)
        session.print_document(groups_document(host, groups))
        return
    from vfioctl.render.groups import groups_lines, no_groups_lines

    if host.groups:
        names = session.names()
        session.print_lines(groups_lines(host, groups, names, width=session.width, verbose=session.verbose))
    else:
        session.print_lines(no_groups_lines(host, width=session.width))
