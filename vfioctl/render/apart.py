"""What became of a plan that moves no bindings."""

from __future__ import annotations

from vfioctl.plan.outcome import Result
from vfioctl.plan.steps import CreateMdev, RemoveMdev
from vfioctl.render.fields import field
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.plan.outcome import Report
    from vfioctl.render.styled import Line


def done_lines(report: Report, then: Sequence[str], *, width: int | None) -> Iterator[Line]:
    """Yield what was made or removed, and what to type next."""
    for outcome in report.outcomes:
        step = outcome.step
        if isinstance(step, CreateMdev | RemoveMdev):
            word = "made" if isinstance(step, CreateMdev) else "removed"
            text = f"{step.uuid}, {visible(step.type_id)} of {step.address}"
            yield from field(word, [text], width=width, indent=0, style="good")
    if report.result is Result.ALREADY:
        yield [("nothing to do", "good"), (": it was so already", "")]
    # Never wrapped: it is there to be copied.
    yield from field("next", then, width=None, indent=0, style="command")
