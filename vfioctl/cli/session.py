"""One run of the program: where it looks, how it answers, and the host it reads."""

from __future__ import annotations

import os
import sys

from vfioctl.cli.progress import progress
from vfioctl.lean import contextmanager
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.model.host import Host
    from vfioctl.render.document import Document
    from vfioctl.render.styled import Line
    from vfioctl.sysfs.names import Names
    from vfioctl.sysfs.root import HostRoot

OUTPUTS = ("table", "plain", "json")
"""What ``-o`` accepts."""

ROOT_VARIABLE = "VFIOCTL_ROOT"
"""The environment variable that stands in for ``--root``."""

DEFAULT_WIDTH = 80
"""Columns, where the terminal does not say."""

_UNREAD_SHOWN = 3


class Session:
    """The global options' values, and what follows from them."""

    def __init__(self) -> None:
        """Start with the defaults; the options' callbacks fill in what was given."""
        self.root = "/"
        self.output: str | None = None
        self.color: bool | None = None
        self.verbosity = 0
        self.debug = False

    @property
    def form(self) -> str:
        """``table``, ``plain`` or ``json``: what was asked for, else what suits stdout."""
        return self.output or ("table" if sys.stdout.isatty() else "plain")

    @property
    def colored(self) -> bool:
        """Whether a table has colours: as asked for, else on a terminal without NO_COLOR."""
        if self.form != "table":
            return False
        if self.color is not None:
            return self.color
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    @property
    def verbose(self) -> bool:
        """Whether more than the usual was asked for."""
        return self.verbosity > 0

    def host(self, root: str | None = None, *, outline: bool = False) -> Host:
        """Read a host: the one that the options name, unless a root is given; in outline, to list it.

        Raises:
            UsageError: the root is no host, or an archive that cannot be used.
            NotPermittedError: the root cannot be read.

        """
        from vfioctl.sysfs.reader import read_host

        with self.opened(root) as opened:
            return read_host(opened, outline=outline)

    @contextmanager
    def opened(self, root: str | None = None) -> Iterator[HostRoot]:
        """Open a root for reading, with a sign of life while that takes long; raises as `host` does."""
        from vfioctl.sysfs.root import HostRoot

        path = self.root if root is None else root
        what = "reading this host" if path == "/" else f"reading {path}"
        with progress(what, quiet=self.verbosity < 0):
            if path == "/":
                yield HostRoot()
                return
            from vfioctl.sysfs.archive import open_root

            with open_root(path) as found:
                yield HostRoot(found.base, found.denied)

    def names(self) -> Names:
        """Open the database of vendor and device names."""
        from vfioctl.sysfs.names import load_names

        return load_names()

    @property
    def width(self) -> int | None:
        """The columns that a table may take; None where nothing is shortened."""
        return terminal_width() if self.form == "table" else None

    def print_document(self, document: Document) -> None:
        """Write a JSON document to stdout."""
        from vfioctl.render.document import document_text

        with writing():
            sys.stdout.write(document_text(document) + "\n")

    def print_lines(self, lines: Iterable[Line]) -> None:
        """Write lines to stdout, with colours where they are wanted."""
        if self.colored:
            from vfioctl.render.terminal import print_colored

            with writing():
                print_colored(lines, sys.stdout)
        else:
            from vfioctl.render.styled import plain_text

            with writing():
                sys.stdout.write(plain_text(lines))

    def note_no_iommu(self, host: Host) -> None:
        """Say on stderr that nothing can be passed through on this host, or that it is unknown."""
        if host.iommu is False:
            self.note("no IOMMU is at work on this host: nothing can be passed through (see: vfioctl groups)")
        elif host.iommu is None:
            self.note("whether an IOMMU is at work could not be read")

    def note_unread(self, host: Host, root: str | None = None) -> None:
        """Say what could not be read, on stderr: unknown is not absent. A root is named if there are two."""
        if not host.unread:
            return
        shown = [f"{unread.path}: {unread.reason}" for unread in host.unread]
        if not self.verbose:
            more = len(shown) - _UNREAD_SHOWN
            shown = shown[:_UNREAD_SHOWN] + ([f"and {more} more (-v lists them)"] if more > 0 else [])
        things = "1 thing" if len(host.unread) == 1 else f"{len(host.unread)} things"
        things += f" in {root}" if root else ""
        who = " (run as root to see more)" if os.geteuid() and self.root == "/" else ""
        self.note(f"{things} could not be read{who}: {'; '.join(shown)}")

    def note(self, text: str) -> None:
        """Say something beside the result, on stderr, unless told to be quiet."""
        if self.verbosity >= 0:
            from vfioctl.render.text import visible

            sys.stderr.write(f"note: {visible(text)}\n")

    def warn(self, text: str) -> None:
        """Say on stderr what an administrator must know, also when told to be quiet."""
        from vfioctl.render.text import visible

        sys.stderr.write(f"warning: {visible(text)}\n")


@contextmanager
def writing() -> Iterator[None]:
    """Turn a failure to write the result into an error with a hint; a closed pipe is none.

    Raises:
        VfioctlError: stdout takes no more.

    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        from vfioctl.errors import VfioctlError

        raise VfioctlError(
            f"the result could not be written: {problem.strerror}",
            hint="look where the output goes: is it full?",
        ) from problem


def terminal_width() -> int:
    """Return the columns of the terminal: COLUMNS, else what the terminal says, else 80."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            width = os.get_terminal_size(stream.fileno()).columns if stream else 0
        except (OSError, ValueError):
            continue
        if width > 0:
            return width
    return DEFAULT_WIDTH
