"""``vfioctl sriov``: make virtual functions, and remove them."""

from __future__ import annotations

import click

from vfioctl.cli import change_options, changing
from vfioctl.cli.command import HELP_NAMES, Command, LazyGroup
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, SelectorType
from vfioctl.cli.tree import COMMANDS
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.session import Session
    from vfioctl.model.selector import Selector


@click.group(
    "sriov",
    cls=LazyGroup,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["sriov"][1],
    subcommand_metavar="COMMAND [ARGS]...",
    help="""Make virtual functions of a device, and remove them. No driver of the host's takes the new ones,
so that no interface appears for DHCP or NetworkManager; one that somebody has open is never removed.""",
    epilog="""\b
Examples:
  vfioctl sriov list                   what can be split, and what is
  vfioctl sriov set --bind 65:00.0 4   four virtual functions, on vfio-pci
  vfioctl sriov off 65:00.0            without any
""",
)
def command() -> None:
    """Make and remove virtual functions."""


@command.command(
    "list",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="List the devices that can have virtual functions, and those they have.",
    help="List the devices that can have virtual functions, how many they can have, and those they have.",
    epilog="""\b
Examples:
  vfioctl sriov list
  vfioctl sriov list net:enp1s0 --json
""",
)
@click.argument(
    "selectors",
    nargs=-1,
    type=SelectorType(),
    metavar="[SELECTOR]...",
    cls=Argument,
    help="Which devices: 65:00.0, net:enp1s0, class:nic ... (all, if not given).",
)
@pass_session
def list_command(session: Session, selectors: tuple[Selector, ...]) -> None:
    """List physical functions."""
    from vfioctl.cli.selection import selected
    from vfioctl.model.device import PhysicalFunction
    from vfioctl.render import sriov as render
    from vfioctl.sysfs.sriov import read_splittings

    host = session.host()
    with session.opened() as root:
        splittings = read_splittings(root, host)
    found = selected(session, host, selectors)
    devices = [device for device in found if isinstance(device.sriov, PhysicalFunction)]
    if session.form == "json":
        session.print_document(render.sriov_document(host, devices, splittings))
    else:
        width = session.width
        session.print_lines(render.sriov_lines(host, devices, splittings, session.names(), width=width))


@command.command(
    "set",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Give a device so many virtual functions; no driver of the host's takes them.",
    help="""Give a device so many virtual functions. While they are made no driver takes them (afterwards the
setting is as it was before); --bind gives them to vfio-pci or to the variant made for them.

A device that has some already, but another number, loses those first: only if nobody has one open, and the
host uses none. Fewer than asked for is a failure and is rolled back.

--persist stores it: a unit of systemd makes them at every boot, before libvirt, the kubelet and the network
start. 'vfioctl persist remove' forgets it.""",
    epilog="""\b
Examples:
  vfioctl sriov set -n 65:00.0 4       what would be written, and what speaks against it
  vfioctl sriov set 65:00.0 4
  vfioctl sriov set --bind net:enp1s0 8
  vfioctl sriov set --bind --persist 65:00.0 4
""",
)
@click.argument(
    "selector",
    type=SelectorType(),
    metavar="SELECTOR",
    cls=Argument,
    help="Which device: 65:00.0, net:enp1s0 ...",
)
@click.argument(
    "number",
    type=click.IntRange(1, 0xFFFF),
    metavar="NUMBER",
    cls=Argument,
    help="How many virtual functions.",
)
@click.option("--bind", is_flag=True, help="Give them to vfio-pci, or to the variant driver made for them.")
@click.option(
    "--persist",
    is_flag=True,
    help="Store it in /etc, so that they are made at every boot: of this card at this address only.",
)
@change_options.force_option
@change_options.timeout_option
@change_options.lock_timeout_option
@change_options.dry_run_option
@pass_session
def set_command(
    session: Session,
    *,
    selector: Selector,
    number: int,
    bind: bool,
    persist: bool,
    force: tuple[str, ...],
    timeout: float,
    lock_timeout: float,
    dry_run: bool,
) -> int:
    """Make virtual functions."""
    from vfioctl.cli.splitting import split

    asked = _asked("sriov set", (selector,), force, (timeout, lock_timeout), dry_run=dry_run)
    return split(session, asked._replace(persist=persist), number, bind=bind)


@command.command(
    "off",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Remove the virtual functions of devices.",
    help="""Remove the virtual functions of devices: all of each. It is refused while a program has one of
them open, which is named: the kernel would wait for it, and with it all that comes or goes on the bus. So it
is where the host uses one of them; --force lifts that.""",
    epilog="""\b
Examples:
  vfioctl sriov off -n 65:00.0
  vfioctl sriov off 65:00.0
""",
)
@change_options.selectors_argument
@change_options.every_option
@change_options.force_option
@change_options.timeout_option
@change_options.lock_timeout_option
@change_options.dry_run_option
@pass_session
def off(
    session: Session,
    *,
    selectors: tuple[Selector, ...],
    every: bool,
    force: tuple[str, ...],
    timeout: float,
    lock_timeout: float,
    dry_run: bool,
) -> int:
    """Remove virtual functions."""
    from vfioctl.cli.splitting import split

    asked = _asked("sriov off", selectors, force, (timeout, lock_timeout), dry_run=dry_run, every=every)
    return split(session, asked, 0, bind=False)


def _asked(
    name: str,
    selectors: tuple[Selector, ...],
    force: tuple[str, ...],
    patience: tuple[float, float],
    *,
    dry_run: bool,
    every: bool = False,
) -> changing.Asked:
    timeout, lock_timeout = patience
    return changing.Asked(
        command=name,
        selectors=selectors,
        every=every,
        driver=None,
        device_only=False,
        force=force,
        timeout=timeout,
        lock_timeout=lock_timeout,
        dry_run=dry_run,
    )
