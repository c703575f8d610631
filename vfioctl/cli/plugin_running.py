"""``vfioctl plugin status``, ``cordon``, ``uncordon``, ``resync``: look into and steer the one that runs."""

from __future__ import annotations

import click

from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, Value
from vfioctl.cli.plugin_asking import asked, understanding
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from click.shell_completion import CompletionItem

    from vfioctl.cli.session import Session


@click.command(
    "status",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Show the plugin that runs: resources, their items and health, and what is wrong.",
    help="""Show the plugin that runs on this host: which resources a kubelet has, their items with their
health, and whether the configuration in force is the one in the file. It ends with exit code 3 where none
runs.""",
    epilog="""\b
Examples:
  vfioctl plugin status
  vfioctl plugin status --watch
  vfioctl plugin status --json | jq '.resources[].items[] | select(.healthy | not)'
""",
)
@click.option("--watch", is_flag=True, help="Keep asking, and show what changes.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    metavar="S",
    help="Seconds between two questions (2, if not given).",
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="Stop after N answers (never, if not given)."
)
@pass_session
def status(session: Session, watch: bool, interval: float, count: int | None) -> None:
    """Show the plugin that runs."""
    from vfioctl.cli.plugin_status import show_status, watch_status

    with understanding():
        if watch:
            watch_status(session, interval, count)
        else:
            show_status(session, asked(session, "status"))


class ThingType(Value):
    """The name of a device or item, which the plugin understands; completed as addresses are."""

    name = "device"

    def shell_complete(
        self, ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete addresses of this host."""
        from vfioctl.cli.suggestions import suggest

        return suggest(ctx, incomplete)


def thing_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument that names one device or item."""
    return click.argument(
        "device",
        type=ThingType(),
        metavar="ADDRESS",
        cls=Argument,
        help="Which one: an address, mdev:UUID, usb:1-2.5, or an item's name in plugin status.",
    )(function)


@click.command(
    "cordon",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Take a device out of service: it is unhealthy until uncordon, also after a restart.",
    help="""Take a device out of service: the plugin that runs lists it as unhealthy, so that no pod gets it.
A pod that has it keeps it. This outlives restarts of the plugin and changes of its configuration, and ends
with the boot of the host. Of an item of several functions any one takes the item out of service.""",
    epilog="""\b
Examples:
  vfioctl plugin cordon 65:00.0
  vfioctl plugin cordon usb:1-2.5
""",
)
@thing_argument
@pass_session
def cordon(session: Session, device: str) -> None:
    """Take a device out of service."""
    _steer(session, "cordon", device)


@click.command(
    "uncordon",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Put a device back into service.",
    help="""Put a device back into service after cordon: it is healthy again if nothing else is wrong.""",
    epilog="""\b
Examples:
  vfioctl plugin uncordon 65:00.0
""",
)
@thing_argument
@pass_session
def uncordon(session: Session, device: str) -> None:
    """Put a device back into service."""
    _steer(session, "uncordon", device)


def _steer(session: Session, command: str, device: str) -> None:
    from vfioctl.cli.plugin_status import cordon_lines
    from vfioctl.render.document import document

    told = asked(session, command, device)
    with understanding():
        if session.form == "json":
            session.print_document(document("plugin-cordon", **told))
        else:
            session.print_lines(cordon_lines(told))


@click.command(
    "resync",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Have the host looked at now, and wait until that is done.",
    help="""Have the plugin that runs look at the host now rather than within thirty seconds, and wait for the
end of that look: what it found is published then.""",
    epilog="""\b
Examples:
  vfioctl plugin resync
""",
)
@pass_session
def resync(session: Session) -> None:
    """Have the host looked at now."""
    from vfioctl.cli.plugin_status import summary_lines
    from vfioctl.render.document import document

    told = asked(session, "resync")
    with understanding():
        if session.form == "json":
            session.print_document(document("plugin-resync", **told))
        else:
            session.print_lines(summary_lines(told["summary"], width=session.width))
