"""What ``plugin status`` and its like print: once, or again and again."""

from __future__ import annotations

import sys
import time

from vfioctl.cli.plugin_asking import asked
from vfioctl.render.columns import Column, lay_out
from vfioctl.render.device_text import NONE
from vfioctl.render.document import document, document_text
from vfioctl.render.fields import field
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.cli.session import Session
    from vfioctl.plugin.protocol import Result
    from vfioctl.render.styled import Line, Piece

_COLUMNS = (
    Column("RESOURCE", least=12),
    Column("KUBELET"),
    Column("ITEM"),
    Column("GROUP", right=True),
    Column("NUMA"),
    Column("HEALTH"),
)
_TOLD = (Column("STATE"), Column("OWNER", least=12))
"""Columns that are there where the plugin tells something of that kind, by the same keys in lower case."""

_UP = "registered"


def show_status(session: Session, told: Result) -> None:
    """Print how the plugin stands."""
    if session.form == "json":
        session.print_document(document("plugin-status", **told))
    else:
        session.print_lines(status_lines(told, width=session.width))


def watch_status(session: Session, interval: float, count: int | None) -> None:
    """Show how the plugin stands again and again: redrawn on a terminal, in a pipe after each change.

    As JSON it is one document for each change.
    """
    if session.form == "table" and sys.stdout.isatty():
        _redraw(session, interval, count)
        return
    before = None
    for told in _asked_again(session, interval, count):
        # What only says how time goes by is no change.
        now = {key: told[key] for key in ("summary", "config", "cordoned", "resources")}
        now["silent"] = [one["source"] for one in told.get("ownership", {}).get("troubles", ())]
        if now != before:
            before = now
            if session.form == "json":
                sys.stdout.write(document_text(document("plugin-status", **told)) + "\n")
            else:
                session.print_lines([[(time.strftime("%H:%M:%S"), "strong")]])
                show_status(session, told)
            sys.stdout.flush()


def _asked_again(session: Session, interval: float, count: int | None) -> Iterator[Result]:
    done = 0
    while count is None or done < count:
        if done:
            time.sleep(interval)
        yield asked(session, "status")
        done += 1


def _redraw(session: Session, interval: float, count: int | None) -> None:
    from rich.live import Live

    from vfioctl.render.terminal import console_for, text_of

    console = console_for(sys.stdout, colored=session.colored)
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        for told in _asked_again(session, interval, count):
            footer = f"every {interval:g} s, last answer {time.strftime('%H:%M:%S')}, Ctrl-C ends"
            lines = [*status_lines(told, width=session.width), [(footer, "faint")]]
            live.update(text_of(lines), refresh=True)


def status_lines(told: Result, *, width: int | None) -> Iterator[Line]:
    """Yield a row per item, then what is wrong, then a line that sums up."""
    rows = [row for resource in told["resources"] for row in _rows(resource)]
    if rows:
        extra = [column for column in _TOLD if any(row[2].get(column.title.lower()) for row in rows)]
        pieces = [[*row[0], *row[1], *(_told(row[2], column) for column in extra)] for row in rows]
        yield from lay_out(
            [*_COLUMNS, *extra],
            [[text for text, _ in row] for row in pieces],
            width=width,
            styles=[[style for _, style in row] for row in pieces],
        )
        yield []
    for text in _troubles(told):
        yield from field("warn", [text], width=width, indent=0, style="warn")
    if told["cordoned"]:
        yield from field("cordoned", [visible(" ".join(told["cordoned"]))], width=width, indent=0)
    yield from summary_lines(told["summary"], width=width)


def summary_lines(summary: str, *, width: int | None) -> Iterator[Line]:
    """Yield the line that sums up."""
    yield from field("", [visible(summary)], width=width, indent=0)


def _rows(resource: Result) -> Iterator[tuple[list[Piece], list[Piece], Result]]:
    """Yield what is said of the resource, what of the item, and the item itself."""
    phase = _UP if resource["registered"] else str(resource["registration"])
    head = [(visible(resource["name"]), ""), (visible(phase), "good" if phase == _UP else "warn")]
    for item in resource["items"] or [{}]:
        group = item.get("iommu_group")
        reason = item.get("reason")
        health = ("healthy", "good") if reason is None else (visible(reason), "bad")
        own: list[Piece] = [
            (visible(item.get("id", NONE)), ""),
            (NONE if group is None else str(group), ""),
            (",".join(map(str, item.get("numa_nodes", ()))) or NONE, ""),
            health if item else (NONE, "faint"),
        ]
        yield head, own, item


def _told(item: Result, column: Column) -> Piece:
    return visible(str(item.get(column.title.lower()) or NONE)), ""


def _troubles(told: Result) -> Iterator[str]:
    for resource in told["resources"]:
        if resource["error"]:
            yield visible(f"{resource['name']} is not registered: {resource['error']}")
        for item in resource["items"]:
            # Of what is free the note says who has its group: nothing is wrong with that.
            if item.get("note") and item.get("state") != "free":
                yield visible(f"{item['id']} of {resource['name']}: {item['note']}")
    if told["config"]["error"]:
        yield visible(f"the configuration was not taken over: {told['config']['error']}")
    if told["host"]["error"]:
        yield visible(f"the host could not be looked at: {told['host']['error']}")
    # A plugin from before an upgrade does not tell.
    for trouble in told.get("ownership", {}).get("troubles", ()):
        yield visible(trouble["text"])


def cordon_lines(told: Result) -> Iterator[Line]:
    """Yield what became of a cordon, and which items it concerns."""
    subject = visible(told["subject"])
    done = "cordoned" if told["cordoned"] else "in service"
    yield [(subject, "strong"), (f" is {done}" if told["changed"] else f" is {done} already", "")]
    for item in told["items"]:
        yield [("  item ", "faint"), (visible(f"{item['id']} of {item['resource']}"), "")]
    if not told["items"]:
        yield [("  no resource offers it now", "faint")]
