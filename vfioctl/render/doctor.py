"""A checkup on the screen: what to mend first, then what to look at, then what nobody could tell."""

from __future__ import annotations

from vfioctl.checkup.check import Status
from vfioctl.model.value import NamedTuple
from vfioctl.render.styled import wrapped
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.checkup.check import Check, Evidence
    from vfioctl.checkup.topics import Topic
    from vfioctl.render.styled import Line

_HEADS = {
    Status.FAIL: ("mend this first", "bad"),
    Status.WARN: ("then look at this", "warn"),
    Status.UNKNOWN: ("could not be told", "unknown"),
    Status.OK: ("in order", "good"),
}
_SHOWN = 3
_LABEL = 16
_NOT_THERE = "this snapshot does not have it"


class _Said(NamedTuple):
    """What one or several checks come to that differ in the device only."""

    check: Check
    addresses: tuple[str, ...]
    evidence: tuple[Evidence, ...]


def doctor_lines(checks: Sequence[Check], *, width: int | None, verbose: bool = False) -> Iterator[Line]:
    """Yield what a checkup found, the gravest first; what is in order at length only where asked for."""
    for status, (head, style) in _HEADS.items():
        found = [check for check in checks if check.status is status]
        if not found:
            continue
        yield [(f"{head}", style)]
        if not verbose:
            found, brief = _brief(found)
            yield from _field("", brief, width=width)
        for said in _alike(found):
            yield from _lines(said, style, width=width, verbose=verbose)
        yield []
    yield from _totals(checks)


def _brief(checks: list[Check]) -> tuple[list[Check], list[str]]:
    """Return what is said at length, and in a line what is in order, or what a snapshot does not have."""
    fine = dict.fromkeys(check.id for check in checks if check.status is Status.OK)
    untold = {check.id: None for check in checks if _is_untold(check)}
    long = [check for check in checks if check.status is not Status.OK and not _is_untold(check)]
    lines = [" ".join(fine)] if fine else []
    lines += [f"not in this snapshot: {' '.join(untold)}"] if untold else []
    return long, lines


def _is_untold(check: Check) -> bool:
    return check.status is Status.UNKNOWN and all(one.value == _NOT_THERE for one in check.evidence)


def _field(
    label: str, texts: Iterable[str], *, width: int | None, style: str = "", labelled: str = "strong"
) -> Iterator[Line]:
    """Yield lines for a label and its texts; ids are longer than the labels of other screens."""
    head = f"  {label:<{_LABEL}}" if label else "  "
    room = None if width is None else max(width - len(head), 20)
    for text in texts:
        shown = visible(text)
        for line in [shown] if room is None else wrapped(shown, room):
            yield [(head, labelled), (line, style)]
            head = " " * len(head)


def _alike(checks: Iterable[Check]) -> Iterator[_Said]:
    """Yield checks with those that say the same of other devices put together."""
    known: dict[tuple[str, str, str | None], list[Check]] = {}
    for check in checks:
        remedy = check.remedy and check.remedy.replace(str(check.address), "")
        known.setdefault((check.id, check.title, remedy), []).append(check)
    for found in known.values():
        addresses = tuple(str(check.address) for check in found if check.address is not None)
        seen = dict.fromkeys(one for check in found for one in check.evidence)
        yield _Said(found[0], addresses, tuple(seen))


def _lines(said: _Said, style: str, *, width: int | None, verbose: bool) -> Iterator[Line]:
    check = said.check
    more = len(said.addresses) - _SHOWN
    where = " ".join(said.addresses[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    title = f"{where}: {check.title}" if where else check.title
    yield from _field(check.id, [title], width=width, style=style if check.status is Status.FAIL else "")
    shown = said.evidence if verbose else said.evidence[:_SHOWN]
    texts = [f"{one.file}: {one.value}" for one in shown]
    hidden = len(said.evidence) - len(shown)
    texts += [f"and {hidden} more (-v)"] if hidden else []
    yield from _field("  seen", texts, width=width, style="faint", labelled="faint")
    if check.remedy:
        # A command is there to be copied, so it is not wrapped where it stands alone.
        alone = check.remedy.startswith(("vfioctl ", "echo ")) and ";" not in check.remedy
        room, style = (None, "command") if alone else (width, "")
        yield from _field("  do", [check.remedy], width=room, style=style, labelled="faint")
    if check.see and verbose:
        yield from _field("  see", [check.see], width=None, style="command", labelled="faint")


def _totals(checks: Sequence[Check]) -> Iterator[Line]:
    counts = [(status, sum(check.status is status for check in checks)) for status in _HEADS]
    parts = [f"{count} {status.value}" for status, count in counts if count]
    total = "1 check" if len(checks) == 1 else f"{len(checks)} checks"
    yield [(f"{total}: {', '.join(parts)}" if parts else "no check", "strong")]


def topic_lines(topic: Topic, *, width: int | None) -> Iterator[Line]:
    """Yield the background of a check."""
    yield [(topic.id, "strong"), (f"  {topic.about}?", "")]
    yield []
    text = " ".join(topic.background.split())
    for line in [text] if width is None else wrapped(text, width):
        yield [(line, "")]
