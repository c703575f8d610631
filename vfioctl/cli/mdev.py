"""``vfioctl mdev``: make mediated devices, and remove them."""

from __future__ import annotations

import click

from vfioctl.cli import change_options
from vfioctl.cli.command import HELP_NAMES, Command, LazyGroup
from vfioctl.cli.mdev_params import TypeName, UuidType
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, SelectorType
from vfioctl.cli.tree import COMMANDS
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.persisting import Keep
    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector
    from vfioctl.plan.plan import Plan


@click.group(
    "mdev",
    cls=LazyGroup,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["mdev"][1],
    subcommand_metavar="COMMAND [ARGS]...",
    help="Make mediated devices of a device whose driver offers them, such as a GPU, and remove them.",
    epilog="""\b
Examples:
  vfioctl mdev types                              who offers what
  vfioctl mdev create 00:02.0 i915-GVTg_V5_4      one of that type
  vfioctl libvirt-xml mdev:UUID                   what libvirt wants to read
""",
)
def command() -> None:
    """Make and remove mediated devices."""


@command.command(
    "types",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="List the types of mediated devices that can be made.",
    help="List the types of mediated devices that devices offer, and how many more of each can be made.",
    epilog="""\b
Examples:
  vfioctl mdev types
  vfioctl mdev types class:gpu --json
""",
)
@click.argument(
    "selectors",
    nargs=-1,
    type=SelectorType(),
    metavar="[SELECTOR]...",
    cls=Argument,
    help="Which devices: 00:02.0, class:gpu ... (all, if not given).",
)
@pass_session
def types(session: Session, selectors: tuple[Selector, ...]) -> None:
    """List types."""
    from vfioctl.cli.selection import selected
    from vfioctl.render.mdev import type_lines, types_document

    host = session.host()
    devices = selected(session, host, selectors)
    if session.form == "json":
        session.print_document(types_document(devices))
    else:
        session.print_lines(type_lines(devices, session.names(), width=session.width))


@command.command(
    "list",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="List the mediated devices that there are.",
    help="List the mediated devices that there are: parent, type, IOMMU group.",
    epilog="""\b
Examples:
  vfioctl mdev list
  vfioctl mdev list --json
""",
)
@pass_session
def list_command(session: Session) -> None:
    """List mediated devices."""
    from vfioctl.render.mdev import instance_lines, instances_document

    host = session.host()
    if session.form == "json":
        session.print_document(instances_document(host))
    else:
        session.print_lines(instance_lines(host.mdevs, width=session.width))


@command.command(
    "create",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Make mediated devices of a type.",
    help="""Make mediated devices of a type, one for each UUID; without any, one with a UUID that is made up.
Where not all of them can be made, none is.""",
    epilog="""\b
Examples:
  vfioctl mdev create 00:02.0 i915-GVTg_V5_4
  vfioctl mdev create --uuid 4b20d080-1b54-4048-85b3-a6a62d165c01 00:02.0 i915-GVTg_V5_4
""",
)
@click.argument(
    "selector", type=SelectorType(), metavar="SELECTOR", cls=Argument, help="The parent: 00:02.0 ..."
)
@click.argument(
    "kind", type=TypeName(), metavar="TYPE", cls=Argument, help="The type, as 'mdev types' shows it."
)
@click.option(
    "--uuid",
    "uuids",
    type=UuidType(),
    multiple=True,
    metavar="UUID",
    help="Its UUID; may be given several times.",
)
@click.option(
    "--persist",
    is_flag=True,
    help="Have them made at every boot: by mdevctl where it is installed, else by vfioctl itself.",
)
@change_options.timeout_option
@change_options.lock_timeout_option
@change_options.dry_run_option
@pass_session
def create(
    session: Session,
    *,
    selector: Selector,
    kind: str,
    uuids: tuple[str, ...],
    persist: bool,
    timeout: float,
    lock_timeout: float,
    dry_run: bool,
) -> int:
    """Make mediated devices."""
    from uuid import uuid4

    from vfioctl.cli.apart import Patience, carry_out_apart
    from vfioctl.cli.selection import named
    from vfioctl.plan.mdev import plan_creation
    from vfioctl.plan.plan import Request

    # Made up once: under the lock it is planned anew.
    chosen = uuids or (str(uuid4()),)

    def plan(host: Host) -> Plan:
        request = Request(named(host, (selector,), "mdev create"))
        return plan_creation(host, request, kind, chosen)

    then = [f"vfioctl libvirt-xml {' '.join(f'mdev:{uuid}' for uuid in chosen)}"]
    keeps = _keeps(session, kind, chosen, dry_run=dry_run) if persist else None
    return carry_out_apart(
        session, "mdev create", plan, Patience(timeout, lock_timeout), dry_run=dry_run, then=then, keeps=keeps
    )


def _keeps(session: Session, kind: str, uuids: tuple[str, ...], *, dry_run: bool) -> Keep:
    """Return what says how they are stored, once it is known that this host makes them at boot."""
    from vfioctl.apply.mdevctl import is_installed
    from vfioctl.cli.changing import check_may_change
    from vfioctl.cli.persisting import check_writable
    from vfioctl.cli.restoring import check_may_restore, keep_mediated

    check_may_change(session, "mdev create", dry_run=dry_run)
    with session.opened() as root:
        by_mdevctl = root.live and is_installed()
        if not by_mdevctl:
            check_may_restore(root, "mdev create")
        if not dry_run:
            check_writable(root)
    return keep_mediated(kind, uuids, by_mdevctl=by_mdevctl)


@command.command(
    "remove",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Remove mediated devices.",
    help="Remove mediated devices; one that a virtual machine or another program has open is refused.",
    epilog="""\b
Examples:
  vfioctl mdev remove 4b20d080-1b54-4048-85b3-a6a62d165c01
""",
)
@click.argument(
    "uuids", nargs=-1, required=True, type=UuidType(), metavar="UUID...", cls=Argument, help="Which ones."
)
@change_options.timeout_option
@change_options.lock_timeout_option
@change_options.dry_run_option
@pass_session
def remove(
    session: Session, *, uuids: tuple[str, ...], timeout: float, lock_timeout: float, dry_run: bool
) -> int:
    """Remove mediated devices."""
    from vfioctl.cli.apart import Patience, carry_out_apart
    from vfioctl.cli.restoring import mention_stored
    from vfioctl.plan.mdev import plan_removal

    def plan(host: Host) -> Plan:
        return plan_removal(host, uuids)

    code = carry_out_apart(session, "mdev remove", plan, Patience(timeout, lock_timeout), dry_run=dry_run)
    if not (code or dry_run):
        mention_stored(session, uuids)
    return code
