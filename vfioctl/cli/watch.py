"""``vfioctl scan --watch``: look again and again, and show what changes."""

from __future__ import annotations

import gc
import sys
import time

from vfioctl.cli.selection import selected
from vfioctl.errors import UsageError
from vfioctl.model.selector import select
from vfioctl.render.difference import compare, difference_lines
from vfioctl.render.scan import View, scan_lines
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.live import Live

    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector
    from vfioctl.render.styled import Line

_REMEMBERED = 8
"""Changes that stay on the screen below the list."""


class Looks:
    """How often to look, and how many times."""

    def __init__(self, session: Session, interval: float, count: int | None) -> None:
        """Look every so many seconds, forever or so many times."""
        self.session = session
        self.interval = interval
        self.count = count

    def __iter__(self) -> Iterator[Host]:
        """Yield the host as it is, again and again."""
        done = 0
        while self.count is None or done < self.count:
            if done:
                time.sleep(self.interval)
            yield self.session.host()
            done += 1


def watch_devices(
    session: Session,
    selectors: Sequence[Selector],
    view: tuple[bool, bool],
    interval: float,
    count: int | None,
) -> None:
    """Show devices until interrupted: redrawn on a terminal, one change after the other in a pipe.

    Raises:
        UsageError: JSON was asked for.

    """
    if session.form == "json":
        raise UsageError(
            "--watch has no JSON form",
            hint="run vfioctl scan --json again, or compare with vfioctl snapshot diff",
        )
    # This run is not a short one.
    gc.enable()
    looks = Looks(session, interval, count)
    if session.form == "table" and sys.stdout.isatty():
        _redraw(session, selectors, view, looks)
    else:
        _print_changes(session, selectors, view, looks)


def _print_changes(
    session: Session, selectors: Sequence[Selector], view: tuple[bool, bool], looks: Looks
) -> None:
    names, before = session.names(), None
    for host in looks:
        if before is None:
            devices = selected(session, host, selectors)
            session.print_lines(scan_lines(host, devices, names, _view(session, view)))
            sys.stdout.flush()
        elif changed := _changes(session, selectors, before, host):
            session.print_lines(changed)
            sys.stdout.flush()
        before = host


def _redraw(session: Session, selectors: Sequence[Selector], view: tuple[bool, bool], looks: Looks) -> None:
    from rich.live import Live

    from vfioctl.render.terminal import console_for

    console = console_for(sys.stdout, colored=session.colored)
    names, before = session.names(), None
    recent: list[Line] = []
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        for host in looks:
            first = before is None
            devices = selected(session, host, selectors) if first else select(host, selectors)
            if before is not None:
                recent = [*recent, *_changes(session, selectors, before, host)][-_REMEMBERED:]
            lines = [*scan_lines(host, devices, names, _view(session, view)), *recent, _footer(looks)]
            _show(live, lines)
            before = host


def _show(live: Live, lines: list[Line]) -> None:
    from vfioctl.render.terminal import text_of

    live.update(text_of(lines), refresh=True)


def _view(session: Session, view: tuple[bool, bool]) -> View:
    wide, tree = view
    return View(session.width, wide, tree, verbose=session.verbose, colored=session.colored)


def _footer(looks: Looks) -> Line:
    return [(f"every {looks.interval:g} s, last look {time.strftime('%H:%M:%S')}, Ctrl-C ends", "faint")]


def _changes(session: Session, selectors: Sequence[Selector], old: Host, new: Host) -> list[Line]:
    """Return what changed among the selected devices, under the time it was seen."""
    if old == new:
        return []
    names = session.names()
    old, new = (host._replace(devices=select(host, selectors)) for host in (old, new))
    difference = compare(old, new, names)
    if difference.equal:
        return []
    lines = list(difference_lines(difference, width=session.width))[:-1]
    return [[(time.strftime("%H:%M:%S"), "strong")], *lines]
