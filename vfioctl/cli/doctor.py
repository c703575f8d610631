"""``vfioctl doctor``: is this host ready, and if not, what to do."""

from __future__ import annotations

import click

from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.doctor_params import CheckId, MemorySize, UserName
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, SelectorType
from vfioctl.cli.tree import COMMANDS
from vfioctl.errors import UsageError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfioctl.checkup.check import Check
    from vfioctl.cli.session import Session
    from vfioctl.model.selector import Selector


@click.command(
    "doctor",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["doctor"][1],
    help="""Check whether this host is ready to pass devices through, and say what to do where it is not. Each
answer shows the file it was read from. What could not be read is called unknown, never ok.

Without selectors the checks about devices look at those that are on a VFIO driver, or meant for one; with
selectors, at the devices that match: ready or not, what would be in the way?

It ends with exit code 1 if at least one check failed.""",
    epilog="""\b
Examples:
  vfioctl doctor                              this host, and what is on vfio-pci
  vfioctl doctor 65:00                        and this card: could it be given away?
  vfioctl doctor --memory 16G --user qemu     may that user lock so much?
  vfioctl doctor --only iommu --json          some checks, for a script
  vfioctl doctor --explain intremap           what is behind a check
""",
)
@click.argument(
    "selectors",
    nargs=-1,
    type=SelectorType(),
    metavar="[SELECTOR]...",
    cls=Argument,
    help="Devices to look at: 65:00.0, 65:00 (a slot), class:gpu ... (those on VFIO, if none is given).",
)
@click.option(
    "--only", type=CheckId(), multiple=True, metavar="ID", help="Run this check only; may be repeated."
)
@click.option(
    "--skip", type=CheckId(), multiple=True, metavar="ID", help="Leave this check out; may be repeated."
)
@click.option("--strict", is_flag=True, help="Let a warning count as a failure.")
@click.option(
    "--memory", type=MemorySize(), metavar="SIZE", help="How much memory the VM is to have: 16G, 512M."
)
@click.option(
    "--user", type=UserName(), metavar="NAME", help="The user that the VM runs as: qemu, libvirt-qemu."
)
@click.option(
    "--watch-errors",
    type=click.FloatRange(0, 3600),
    default=0.0,
    metavar="SECONDS",
    help="Read error counters twice, this far apart.",
)
@click.option("--explain", type=CheckId(), metavar="ID", help="Print what is behind a check, and run none.")
@pass_session
def command(
    session: Session,
    selectors: tuple[Selector, ...],
    *,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    strict: bool,
    memory: int | None,
    user: str | None,
    watch_errors: float,
    explain: str | None,
) -> int:
    """Check this host."""
    if explain is not None:
        _explain(session, explain)
        return 0
    from vfioctl.checkup.examine import failed
    from vfioctl.checkup.topics import chosen
    from vfioctl.cli.examining import Asked, checkup

    topics = chosen(only, skip)
    if not topics:
        raise UsageError("no check is left", hint="give fewer --skip, or see the ids: vfioctl doctor --help")
    if memory is None and [topic.id for topic in topics] == ["memlock"]:
        raise UsageError("memlock needs to know how much", hint="add --memory 16G, or as much as the VM has")
    checks = checkup(session, Asked(selectors, topics, memory, user, watch_errors))
    _print(session, checks)
    return 1 if failed(checks, strict=strict) else 0


def _print(session: Session, checks: Sequence[Check]) -> None:
    if session.form == "json":
        from vfioctl.render.doctor_document import doctor_document

        session.print_document(doctor_document(checks))
        return
    from vfioctl.render.doctor import doctor_lines

    session.print_lines(doctor_lines(checks, width=session.width, verbose=session.verbose))


def _explain(session: Session, name: str) -> None:
    from vfioctl.checkup.topics import chosen

    topics = chosen((name,), ())
    if session.form == "json":
        from vfioctl.render.doctor_document import topics_document

        session.print_document(topics_document(topics))
        return
    from vfioctl.render.doctor import topic_lines

    for index, topic in enumerate(topics):
        if index:
            session.print_lines([[("", "")]])
        session.print_lines(topic_lines(topic, width=session.width))
