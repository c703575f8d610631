"""``vfioctl show``: everything about one device, the verdict first."""

from __future__ import annotations

import click

from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, SelectorType
from vfioctl.cli.selection import the_one
from vfioctl.cli.tree import COMMANDS
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.session import Session
    from vfioctl.model.selector import Selector


@click.command(
    "show",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["show"][1],
    help="""Show everything about one device. First the verdict: can it be passed through, why or why not,
what the host would lose, and what to type next. Then what it is, where it is, who has it and what it can do.

The selector must match exactly one device.""",
    epilog="""\b
Examples:
  vfioctl show 65:00.0
  vfioctl show net:enp1s0
  vfioctl show class:gpu            works if there is only one
  vfioctl show 65:00.0 --json
""",
)
@click.argument(
    "selector",
    type=SelectorType(),
    metavar="SELECTOR",
    cls=Argument,
    help="Which device: 65:00.0, 10de:2204, net:enp1s0, block:nvme0n1 ...",
)
@pass_session
def command(session: Session, selector: Selector) -> None:
    """Show one device."""
    host = session.host()
    device = the_one(session, host, selector)
    names = session.names()
    if session.form == "json":
        from vfioctl.render.device_document import device_document
        from vfioctl.render.document import document

        session.print_document(document("device", device=device_document(host, device, names)))
    else:
        from vfioctl.render.show import show_lines

        session.print_lines(show_lines(host, device, names, width=session.width))
