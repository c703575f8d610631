"""``vfioctl persist``: bindings, virtual functions and mediated devices that survive a reboot."""

from __future__ import annotations

import re

import click

from vfioctl.cli import change_options, changing
from vfioctl.cli.command import HELP_NAMES, Command, LazyGroup
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, Value
from vfioctl.cli.session import Session
from vfioctl.cli.tree import COMMANDS
from vfioctl.errors import DriftError, UsageError
from vfioctl.model.address import PciAddress
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from vfioctl.model.persisted import Persisted
    from vfioctl.plan.persist import FileChange
    from vfioctl.sysfs.root import HostRoot

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class StoredType(Value):
    """The address of a stored device, or the UUID of a mediated one, which need not be there any more."""

    name = "address"

    def convert(
        self, value: str | PciAddress, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> str | PciAddress:
        """Read an address or a UUID; the UsageError it raises passes through to the boundary."""
        if not isinstance(value, str):
            return value
        uuid = value.removeprefix("mdev:").lower()
        return uuid if _UUID.fullmatch(uuid) else PciAddress.parse(value)

    def shell_complete(
        self, ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete what is stored."""
        from click.shell_completion import CompletionItem

        from vfioctl.errors import VfioctlError
        from vfioctl.sysfs.persisted import read_persisted

        session = ctx.find_object(Session) or Session()
        try:
            with session.opened() as root:
                persisted = read_persisted(root)
        except VfioctlError:
            return []
        meanings = {
            **{str(one.address): f"{one.number} virtual functions" for one in persisted.splits},
            **{one.uuid: f"{one.type_id} of {one.address}" for one in persisted.mediated},
            **{str(one.address): f"to {one.driver}" for one in persisted.stored},
        }
        # One spelling of each: the one that was begun, or the full one.
        chosen = {}
        for name, meaning in meanings.items():
            for spelling in (name.removeprefix("0000:"), name):
                if spelling.startswith(incomplete):
                    chosen[name] = CompletionItem(spelling, help=meaning)
        return list(chosen.values())


@click.group(
    "persist",
    cls=LazyGroup,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["persist"][1],
    subcommand_metavar="COMMAND [ARGS]...",
    help="""Look after what survives a reboot. 'vfioctl bind --persist' stores a binding: the device by its
address, its ids and its way through the bridges, so that no other card is taken for it. 'vfioctl sriov set
--persist' and 'vfioctl mdev create --persist' store what has to be made anew at every boot.""",
    epilog="""\b
Examples:
  vfioctl bind --persist 65:00.0      store a binding
  vfioctl persist verify              does it still fit the hardware?
  vfioctl persist remove 65:00.0      the kernel decides again at the next boot
""",
)
def command() -> None:
    """Look after what is stored."""


@command.command(
    "list",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="List what is stored, and what else decides at boot.",
    help="""List the stored bindings, the virtual functions and mediated devices that are made at boot, how
they stand, and everything else that decides at boot who gets a
device: driverctl, ids in modprobe.d and on the kernel's command line, other udev rules. Where one of these is
at odds with what is stored, it says so.

For disks, displays, NICs and USB controllers it prints what to put into the initramfs, whose drivers come
before all this.""",
    epilog="""\b
Examples:
  vfioctl persist list
  vfioctl persist list --json
""",
)
@pass_session
def list_command(session: Session) -> int:
    """List what is stored."""
    return _show(session, verify=False)


@command.command(
    "verify",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Hold what is stored against the hardware; exit code 10 if it does not fit.",
    help="""Hold what is stored against the hardware: addresses that have changed, other cards, cards that
have changed places, devices that are on another driver, virtual functions and mediated devices that are not
there, generated files that are missing or were edited.
Exits with 0 if everything fits and with 10 if not.""",
    epilog="""\b
Examples:
  vfioctl persist verify              after a card was added or moved
  vfioctl persist verify -q || mail -s 'passthrough' root
""",
)
@pass_session
def verify(session: Session) -> int:
    """Verify what is stored."""
    return _show(session, verify=True)


def _show(session: Session, *, verify: bool) -> int:
    from vfioctl.plan.drift import find_conflicts, find_drift
    from vfioctl.plan.initramfs import instructions
    from vfioctl.render import persist as render
    from vfioctl.sysfs.persisted import read_persisted

    with session.opened() as root:
        persisted = read_persisted(root)
    host = session.host()
    drifts, conflicts = find_drift(host, persisted), find_conflicts(host, persisted)
    steps = () if verify else instructions(persisted.stored, persisted.initramfs)
    code = DriftError.exit_code if verify and drifts else 0
    if session.form == "json":
        session.print_document(render.persist_document(persisted, drifts, conflicts, steps, code))
        return code
    width = session.width
    session.print_lines(render.stored_lines(host, persisted, drifts, session.names(), width=width))
    session.print_lines(render.made_lines(persisted, drifts, width=width))
    session.print_lines(render.drift_lines(drifts, width=width))
    session.print_lines(render.around_lines(persisted, conflicts, width=width))
    session.print_lines(render.instruction_lines(steps, width=width))
    return code


@command.command(
    "remove",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Forget what is stored: from the next boot on, the kernel decides again.",
    help="""Forget what is stored of devices. With the last binding go the udev rules and the list of modules,
with the last of what is made at boot its unit, and then the folder: nothing is left. The devices stay as they
are until the next boot; 'vfioctl unbind', 'vfioctl sriov off' and 'vfioctl mdev remove' act now.""",
    epilog="""\b
Examples:
  vfioctl persist remove -n 65:00.0   which files would change
  vfioctl persist remove 65:00.0
  vfioctl persist remove --all
""",
)
@click.argument(
    "names",
    nargs=-1,
    type=StoredType(),
    metavar="[NAME]...",
    cls=Argument,
    help="Which ones: addresses and UUIDs as 'persist list' shows them; they need not be there.",
)
@click.option("--all", "every", is_flag=True, help="Forget everything that is stored.")
@change_options.lock_timeout_option
@change_options.dry_run_option
@pass_session
def remove(
    session: Session, *, names: tuple[str | PciAddress, ...], every: bool, lock_timeout: float, dry_run: bool
) -> int:
    """Forget what is stored."""
    if every == bool(names):
        raise UsageError(
            "name what is to be forgotten, or all of it",
            hint="see what is stored: vfioctl persist list; then ADDRESS... or --all",
        )
    changing.check_may_change(session, "persist remove", dry_run=dry_run)
    if dry_run:
        with session.opened() as root:
            persisted, changes = _forgetting(root, names, every=every)
    else:
        persisted, changes = _forget(names, every=every, lock_timeout=lock_timeout)
    _say_removed(session, persisted, changes, dry_run=dry_run)
    return 0


def _forgetting(
    root: HostRoot, names: tuple[str | PciAddress, ...], *, every: bool
) -> tuple[Persisted, tuple[FileChange, ...]]:
    from vfioctl.plan.forgetting import forget
    from vfioctl.sysfs.persisted import read_persisted

    persisted = read_persisted(root)
    return persisted, forget(persisted, None if every else names)


def _forget(
    names: tuple[str | PciAddress, ...], *, every: bool, lock_timeout: float
) -> tuple[Persisted, tuple[FileChange, ...]]:
    from vfioctl.apply.files import change_files
    from vfioctl.apply.transaction import STATE, Settings
    from vfioctl.sysfs.root import HostRoot

    root = HostRoot()
    persisted = _forgetting(root, names, every=every)[0]
    changed = change_files(
        lambda: _forgetting(root, names, every=every)[1],
        Settings(lock_timeout=lock_timeout, state=STATE),
        root,
    )
    return persisted, changed


def _say_removed(
    session: Session, persisted: Persisted, changes: tuple[FileChange, ...], *, dry_run: bool
) -> None:
    from vfioctl.plan.initramfs import after_removal, early
    from vfioctl.plan.persist import device_path
    from vfioctl.render import persist as render

    if session.form == "json":
        session.print_document(render.changes_document(changes, dry_run=dry_run))
    else:
        session.print_lines(render.change_lines(changes, planned=dry_run, width=session.width))
    gone = {change.path for change in changes if change.text is None}
    left = [one for one in persisted.stored if device_path(one.address) not in gone]
    if len(early(left)) < len(early(persisted.stored)):
        commands = "; or ".join(after_removal(left, persisted.initramfs))
        session.note(f"if it is in the initramfs as well, take it out there: {commands}")


@command.command(
    "apply",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Make the stored virtual functions and mediated devices that are not there.",
    help="""Make the virtual functions and mediated devices that are stored and not there. This is what the
generated unit does at boot, once udev has loaded the drivers; each is made by itself, and none of another
card than the one that was stored. The exit code is the worst one.""",
    epilog="""\b
Examples:
  vfioctl persist apply -n            what would be made
  vfioctl persist apply
""",
)
@change_options.timeout_option
@change_options.lock_timeout_option
@change_options.dry_run_option
@pass_session
def apply_command(session: Session, *, timeout: float, lock_timeout: float, dry_run: bool) -> int:
    """Make what is stored."""
    from vfioctl.cli.apart import Patience
    from vfioctl.cli.restoring import apply

    return apply(session, Patience(timeout, lock_timeout), dry_run=dry_run)
