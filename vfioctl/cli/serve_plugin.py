"""``vfioctl serve-plugin``: offer this host's devices to a kubelet; or show what would be offered."""

from __future__ import annotations

import click

from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.libvirt_params import Word
from vfioctl.cli.options import pass_session
from vfioctl.cli.plugin_config import config_option, configuration, listening, surveyed
from vfioctl.cli.tree import COMMANDS
from vfioctl.errors import UsageError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.session import Session
    from vfioctl.plugin.config import Config


@click.command(
    "serve-plugin",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["serve-plugin"][1],
    help="""Offer this host's devices to the kubelet, until told to end: one resource for each of the
configuration, each with its own socket. Kubelets may come and go; devices may too.

Without a configuration file every endpoint on a vfio driver is offered, under its ids: vfioctl.io/10de_1eb8.
SIGHUP reads the configuration again; a wrong one changes nothing. With --dry-run nothing is served: every
resource is shown with its items, which of them are fit to be allocated, and what is left out, and why.""",
    epilog="""\b
Examples:
  vfioctl serve-plugin                                  until SIGTERM; one on each host
  vfioctl serve-plugin --dry-run                        with /etc/vfioctl/plugin.toml, if it is there
  vfioctl serve-plugin --dry-run --config plugin.toml   with a file that is being written
  vfioctl --root host.tar.gz serve-plugin --dry-run     for another host
  vfioctl serve-plugin --print-unit > /etc/systemd/system/vfioctl-plugin.service
""",
)
@config_option
@click.option(
    "--domain",
    type=Word("vfioctl.io"),
    metavar="DOMAIN",
    help="What the names of resources begin with, without a configuration (vfioctl.io).",
)
@click.option(
    "--listen",
    type=Word("127.0.0.1:9464", "[::1]:9464", "*:9464"),
    metavar="ADDRESS:PORT",
    help="Where metrics and health are served, instead of where the configuration says; empty: nowhere.",
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "text", "json", "journal"]),
    default="auto",
    help="How it speaks: auto is text on a terminal, the journal's form to the journal, else json.",
)
@click.option(
    "--drain-on-exit",
    is_flag=True,
    help="Tell the kubelet in the end that nothing is offered any more, so that capacity drops at once.",
)
@click.option(
    "--print-unit", is_flag=True, help="Print the unit that runs this under systemd, and serve nothing."
)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be offered, and serve nothing.")
@pass_session
def command(
    session: Session,
    *,
    config: str | None,
    domain: str | None,
    listen: str | None,
    log_format: str,
    drain_on_exit: bool,
    print_unit: bool,
    dry_run: bool,
) -> None:
    """Serve, or show what would be offered."""
    if print_unit:
        from vfioctl.cli import unit

        unit.print_unit(unit.PLUGIN)
        return

    def load() -> Config:
        return listening(configuration(session, config, domain), listen)

    if dry_run:
        _show(session, load())
        return
    if session.root != "/":
        raise UsageError(
            f"{session.root} is no host to serve from",
            hint="see what would be offered: vfioctl --root ROOT serve-plugin --dry-run",
        )
    from vfioctl.cli.serving import serve_host

    serve_host(session, load, log_format=log_format, drain=drain_on_exit)


def _show(session: Session, config: Config) -> None:
    from vfioctl.cli.plugin_output import offer_lines, offers_document
    from vfioctl.plugin.resources import refuse_ties, sort_out

    host, sight = surveyed(session)
    found = sort_out(host, config, sight=sight)
    refuse_ties(found)
    if session.form == "json":
        session.print_document(offers_document(config, found))
    else:
        session.print_lines(offer_lines(host, found, sight, session.names(), width=session.width))
        session.note_no_iommu(host)
    session.note_unread(host)
