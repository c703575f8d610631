"""``vfioctl plugin``: look into a configuration of the kubelet plugin."""

from __future__ import annotations

import click

from vfioctl.cli.command import HELP_NAMES, Command, LazyGroup
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, SelectorType
from vfioctl.cli.plugin_config import config_option, configuration, surveyed
from vfioctl.cli.plugin_running import cordon, resync, status, uncordon
from vfioctl.cli.tree import COMMANDS
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.session import Session
    from vfioctl.model.selector import Selector


@click.group(
    "plugin",
    cls=LazyGroup,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["plugin"][1],
    subcommand_metavar="COMMAND [ARGS]...",
    help="""Look into the kubelet plugin and steer it: how the one that runs on this host stands, what it must
not give away, why a device is in a resource or in none, and what in a configuration is legal but unwise. The
last two need no plugin that runs, and work on snapshots; the others are for root.""",
    epilog="""\b
Examples:
  vfioctl plugin status
  vfioctl plugin explain 65:00.0
  vfioctl plugin cordon 65:00.0
  vfioctl plugin lint --config plugin.toml
""",
)
def command() -> None:
    """Look into the plugin, and steer it."""


for one in (status, cordon, uncordon, resync):
    command.add_command(one)


@command.command(
    "explain",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Say for each resource whether it offers a device, and why not.",
    help="""Say for each resource of the configuration whether it offers a device: as which item, or which
term of which selector does not hold, who else has it, or what stands in the way. Where a plugin runs it is
asked, as it knows what is cordoned and what pods have; with --config the file's word counts.""",
    epilog="""\b
Examples:
  vfioctl plugin explain 65:00.0
  vfioctl plugin explain usb:1-2.5 --config plugin.toml
  vfioctl plugin explain mdev:83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
""",
)
@click.argument(
    "device",
    type=SelectorType(),
    metavar="ADDRESS",
    cls=Argument,
    help="Which device: 65:00.0, net:enp1s0, mdev:UUID, usb:1-2.5 ...",
)
@config_option
@pass_session
def explain(session: Session, device: Selector, config: str | None) -> None:
    """Say why a device is in a resource, or in none."""
    from vfioctl.cli.plugin_asking import running_answers
    from vfioctl.cli.plugin_output import answer_lines, answers_document
    from vfioctl.cli.plugin_subject import subject_of
    from vfioctl.plugin.explain import explain as explained

    host, sight = surveyed(session)
    subject = subject_of(session, host, sight.usb, device)
    running = running_answers(session, subject) if config is None and session.root == "/" else None
    if running is not None:
        file, answers = running
    else:
        wanted = configuration(session, config)
        file, answers = wanted.file, explained(host, wanted, subject, sight=sight)
    if session.form == "json":
        session.print_document(answers_document(file, subject, answers, running=running is not None))
    else:
        session.print_lines(answer_lines(subject, answers, width=session.width))


@command.command(
    "lint",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Check a configuration: what is wrong, and what is legal but unwise.",
    help="""Check a configuration against this host. What is wrong ends with exit code 2 and names the key.
What is legal but unwise is remarked on, with what to do about it, and is no error.""",
    epilog="""\b
Examples:
  vfioctl plugin lint
  vfioctl plugin lint --config plugin.toml
""",
)
@config_option
@pass_session
def lint(session: Session, config: str | None) -> None:
    """Check a configuration."""
    from vfioctl.cli.plugin_output import remark_lines, remarks_document
    from vfioctl.plugin.lint import lint as linted
    from vfioctl.plugin.resources import refuse_ties, sort_out
    from vfioctl.plugin.trust import distrusted

    wanted = configuration(session, config)
    host, sight = surveyed(session)
    refuse_ties(sort_out(host, wanted, sight=sight))
    # Of another host only its devices are known, and not its programs.
    programs = tuple(distrusted(wanted)) if session.root == "/" else ()
    remarks = (*linted(host, wanted, sight), *programs)
    if session.form == "json":
        session.print_document(remarks_document(wanted, remarks))
    else:
        session.print_lines(remark_lines(remarks, width=session.width))
    session.note_unread(host)
