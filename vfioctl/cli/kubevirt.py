"""``vfioctl kubevirt``: what KubeVirt must be told of the plugin's resources, and what it was told wrong."""

from __future__ import annotations

import sys

import click

from vfioctl.cli.command import HELP_NAMES, Command, LazyGroup
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, FilePath
from vfioctl.cli.plugin_config import config_option, configuration, surveyed
from vfioctl.cli.session import writing
from vfioctl.cli.tree import COMMANDS
from vfioctl.errors import DriftError, NotFoundError, RefusedError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfioctl.cli.session import Session
    from vfioctl.export.kubevirt_check import Problem


@click.group(
    "kubevirt",
    cls=LazyGroup,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["kubevirt"][1],
    subcommand_metavar="COMMAND [ARGS]...",
    help="""Tell KubeVirt of the resources that vfioctl's kubelet plugin offers, and check what it was told.
Both work without a cluster, on documents.""",
    epilog="""\b
Examples:
  vfioctl kubevirt snippet
  kubectl get kubevirt -A -o yaml | vfioctl kubevirt check -
""",
)
def command() -> None:
    """Write and check documents."""


@command.command(
    "snippet",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Print what permits the plugin's resources, and how a VM asks for them.",
    help="""Print, as YAML, the part of the KubeVirt resource that permits what the plugin's configuration
offers, and the part of a VM that asks for one of each. They are to be merged into what is there: lists of a
cluster are replaced by kubectl apply and kubectl patch, not joined.""",
    epilog="""\b
Examples:
  vfioctl kubevirt snippet
  vfioctl kubevirt snippet --part cluster --config plugin.toml > permit.yaml
""",
)
@click.option(
    "--part",
    type=click.Choice(["both", "cluster", "vmi"]),
    default="both",
    help="What permits them (cluster), what asks for them (vmi), or both.",
)
@config_option
@pass_session
def snippet(session: Session, part: str, config: str | None) -> None:
    """Print both parts, or one."""
    from vfioctl.cli.kubevirt_targets import permitted
    from vfioctl.export.kubevirt import cluster_part, machine_part
    from vfioctl.export.yaml_text import yaml_text

    wanted = configuration(session, config)
    host, sight = surveyed(session)
    found, left_out = permitted(host, wanted, sight)
    for text in left_out:
        session.note(text)
    if not found:
        raise NotFoundError(
            "there is no resource that a VM could ask for",
            hint="bind a device, or write a configuration: /etc/vfioctl/plugin.toml",
        )
    for one in found:
        if not one.selectors:
            session.warn(f"{one.resource}: this host has no device of it; its selector is a place-holder")
    parts = {"cluster": cluster_part(found), "vmi": machine_part(found)}
    if part != "both":
        parts = {part: parts[part]}
    if session.form == "json":
        from vfioctl.render.document import document

        session.print_document(document("kubevirt-snippet", **parts, left_out=list(left_out)))
        return
    with writing():
        sys.stdout.write(yaml_text(parts.values()))


@command.command(
    "check",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Check a KubeVirt resource or a VM against the plugin's configuration and this host.",
    help="""Check what permits and what asks for host devices: resources that KubeVirt would serve a second
time or would not find, one resource in two lists, wrong names, selectors that match nothing on this host.

Exits with 4 if a VM would fail or get a wrong device, else with 10 if a selector matches nothing here.""",
    epilog="""\b
Examples:
  kubectl get kubevirt -A -o yaml | vfioctl kubevirt check -
  vfioctl kubevirt check kubevirt.yaml vm.yaml
  vfioctl kubevirt snippet | vfioctl kubevirt check -
""",
)
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=FilePath(),
    metavar="FILE...",
    cls=Argument,
    help="YAML or JSON: a KubeVirt or HyperConverged, VMs, lists of them; - is stdin.",
)
@config_option
@pass_session
def checking(session: Session, files: tuple[str, ...], config: str | None) -> int:
    """Check documents."""
    from vfioctl.cli.kubevirt_targets import documents, knowledge, permitted
    from vfioctl.export.kubevirt_check import check

    read = list(documents(files))
    wanted = configuration(session, config)
    host, sight = surveyed(session)
    offered, _ = permitted(host, wanted, sight)
    problems = check(read, knowledge(host, offered, sight))
    _print(session, problems)
    session.note_unread(host)
    severities = {problem.severity for problem in problems}
    if "error" in severities:
        return RefusedError.exit_code
    return DriftError.exit_code if "stale" in severities else 0


def _print(session: Session, problems: Sequence[Problem]) -> None:
    if session.form == "json":
        from vfioctl.render.document import document

        members = [problem._asdict() for problem in problems]
        session.print_document(document("kubevirt-check", problems=members))
        return
    from vfioctl.render.fields import field

    lines = [
        line
        for problem in problems
        for line in (
            *field(
                problem.severity,
                [f"{problem.message} [{problem.check}]"],
                width=session.width,
                indent=0,
                style="warn" if problem.severity == "warn" else "bad",
            ),
            *field(" ", [f"{problem.place}", problem.hint], width=session.width, indent=0, style="faint"),
        )
    ]
    session.print_lines(lines or [[("nothing speaks against it", "")]])
