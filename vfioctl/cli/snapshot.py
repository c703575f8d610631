"""``vfioctl snapshot``: a host in one archive, and two hosts compared."""

from __future__ import annotations

import os

import click

from vfioctl.cli.command import HELP_NAMES, Command, LazyGroup
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, FilePath, RootPath
from vfioctl.cli.tree import COMMANDS
from vfioctl.errors import DriftError, UsageError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host


@click.group(
    "snapshot",
    cls=LazyGroup,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["snapshot"][1],
    subcommand_metavar="COMMAND [ARGS]...",
    help="""Save what vfioctl reads of a host in one archive, and compare hosts. Every command that only reads
takes such an archive as --root: look at a machine elsewhere, or at what it was like before.""",
    epilog="""\b
Examples:
  vfioctl snapshot save --redact host.tar.gz     to attach to a report
  vfioctl --root host.tar.gz groups              to look at it elsewhere
  vfioctl snapshot diff host.tar.gz              what is different by now
""",
)
def command() -> None:
    """Save and compare hosts."""


@command.command(
    "save",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Write what is read of this host into one archive.",
    help="""Write exactly what vfioctl reads of a host into one archive. The name's ending chooses the form:
.tar.gz, .tgz, .tar.zst (needs the Python package zstandard), .tar, .txt (text that can be read and compared),
or none: a folder.

Run it as root: what this user cannot read is missing in the archive, and marked as unreadable.""",
    epilog="""\b
Examples:
  vfioctl snapshot save before.tar.gz
  vfioctl snapshot save --redact host.tar.gz     without serials, MACs and the host's name
  vfioctl snapshot save host.txt                 as text, for a diff
""",
)
@click.argument(
    "file", type=FilePath(), metavar="FILE", cls=Argument, help="Where to write; its ending chooses the form."
)
@click.option("--redact", is_flag=True, help="Replace serial numbers, MAC addresses and the host's name.")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
@pass_session
def save(session: Session, file: str, redact: bool, force: bool) -> None:
    """Write a snapshot."""
    from vfioctl.sysfs.entries import Meta
    from vfioctl.sysfs.pack import write_archive
    from vfioctl.sysfs.redact import redact as redacted
    from vfioctl.sysfs.snapshot import capture

    if os.path.lexists(file) and not force:
        raise UsageError(f"{file} exists already", hint="choose another name, or overwrite it with --force")
    with session.opened() as root:
        host, entries = capture(root)
        if redact:
            entries = redacted(entries, _host_names() if root.live else ())
        write_archive(entries, file, Meta(_origin(session, host), redacted=redact))
    count = len(host.devices)
    if session.form == "json":
        from vfioctl.render.document import document, unreadable

        session.print_document(
            document("snapshot", file=file, devices=count, redacted=redact, unreadable=unreadable(host))
        )
    else:
        session.note(f"saved {count} devices; look at them with: vfioctl --root {file} scan")
    session.note_unread(host)


def _origin(session: Session, host: Host) -> str:
    """Say where a snapshot is from, for whoever opens it later."""
    kernel = f"Linux {host.kernel.text}" if host.kernel else "an unknown kernel"
    return f"recorded on {kernel}" if session.root == "/" else f"copied from another snapshot, of {kernel}"


def _host_names() -> tuple[str, ...]:
    """Return this host's name, in full and without its domain."""
    name = os.uname().nodename
    return name, name.partition(".")[0]


@command.command(
    "diff",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help="Compare two hosts, or one with what it was.",
    help="""Compare two hosts: devices that came and went, every field that changed, groups. Exits with 0 if
they are alike and with 10 if not.""",
    epilog="""\b
Examples:
  vfioctl snapshot diff before.tar.gz            with this host as it is now
  vfioctl snapshot diff before.tar.gz after.tar.gz
""",
)
@click.argument(
    "old", type=RootPath(), metavar="OLD", cls=Argument, help="The host as it was: a snapshot or a folder."
)
@click.argument(
    "new",
    type=RootPath(),
    metavar="[NEW]",
    required=False,
    cls=Argument,
    help="The host as it is (the one that --root names, if not given).",
)
@pass_session
def diff(session: Session, old: str, new: str | None) -> int:
    """Compare two hosts."""
    from vfioctl.render.difference import compare, difference_document, difference_lines

    before, after = session.host(old), session.host(new)
    names = session.names()
    difference = compare(before, after, names)
    if session.form == "json":
        session.print_document(difference_document(difference))
    else:
        session.print_lines(difference_lines(difference, width=session.width))
    session.note_unread(before, old)
    session.note_unread(after, new or session.root)
    return 0 if difference.equal else DriftError.exit_code
