"""``vfioctl scan``: every PCI device of a host."""

from __future__ import annotations

import click

from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.devices import list_devices
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, SelectorType
from vfioctl.cli.tree import COMMANDS
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.session import Session
    from vfioctl.model.selector import Selector


@click.command(
    "scan",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["scan"][1],
    help="""List every PCI device: what it is, who drives it, which IOMMU group it is in, and what the host
uses it for. Several selectors show what any of them matches; terms joined by a comma must all hold.

Works without root and on snapshots; what could not be read is said on stderr.""",
    epilog="""\b
Examples:
  vfioctl scan                         everything
  vfioctl scan class:gpu class:nic     GPUs and network cards
  vfioctl scan driver:vfio-pci         what is ready for a VM
  vfioctl scan --tree under:00:01.0    what hangs below a root port
  vfioctl scan --json | grep '"nvme"'  one device per line
""",
)
@click.argument(
    "selectors",
    nargs=-1,
    type=SelectorType(),
    metavar="[SELECTOR]...",
    cls=Argument,
    help="Which devices: 65:00.0, 10de:2204, class:gpu, driver:none, group:17 ... (all, if none is given).",
)
@click.option("--wide", is_flag=True, help="Shorten nothing, and show more columns.")
@click.option("--tree", is_flag=True, help="Show what sits behind which bridge.")
@click.option("--watch", is_flag=True, help="Keep looking, and show what changes.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    metavar="S",
    help="Seconds between two looks (2, if not given).",
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="Stop after N looks (never, if not given)."
)
@pass_session
def command(
    session: Session,
    selectors: tuple[Selector, ...],
    wide: bool,
    tree: bool,
    watch: bool,
    interval: float,
    count: int | None,
) -> None:
    """List every PCI device."""
    if watch:
        from vfioctl.cli.watch import watch_devices

        watch_devices(session, selectors, (wide, tree), interval, count)
        return
    list_devices(session, selectors, wide=wide, tree=tree)
