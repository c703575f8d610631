"""What ``--dry-run`` shows: the writes in their order, the devices, the groups, the findings."""

from __future__ import annotations

from vfioctl.model.viability import assess
from vfioctl.plan.foresee import foresee
from vfioctl.render.change import device_lines, foreseen, group_lines, groups_of
from vfioctl.render.findings import finding_lines, way_out
from vfioctl.render.step_text import typed
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.group import IommuGroup
    from vfioctl.model.host import Host
    from vfioctl.plan.plan import Plan
    from vfioctl.render.styled import Line
    from vfioctl.sysfs.names import Names


def plan_lines(host: Host, plan: Plan, names: Names, *, width: int | None) -> Iterator[Line]:
    """Yield a plan that is not carried out."""
    if plan.steps:
        yield [(f"vfioctl {plan.command} would do this, in this order:", "strong")]
        for step in plan.steps:
            # Never wrapped: they are there to be copied.
            for line in typed(step):
                yield [("  ", ""), (visible(line), "command")]
        yield []
    if plan.scope:
        yield from device_lines(host, plan, foreseen(host, plan), names, ("DRIVER", "AFTER"), width=width)
        yield []
    yield from group_lines(
        foresee(host, plan), _promised(host, plan), width=width, then=" afterwards" if plan.steps else ""
    )
    yield from finding_lines(plan.findings, width=width)
    yield _conclusion(plan)
    way = way_out(plan)
    if way:
        yield [(way, "")]


def _promised(host: Host, plan: Plan) -> list[IommuGroup]:
    """Return the groups that will be viable; of the others the findings tell."""
    after = foresee(host, plan)
    groups = [
        group for group in groups_of(host, plan) if any(member.on_vfio for member in after.members(group))
    ]
    return [group for group in groups if plan.command == "bind" and assess(after, group).viable]


def _conclusion(plan: Plan) -> Line:
    if plan.refusals:
        return [("refused", "bad"), (f" (exit code {plan.exit_code}): nothing would be changed", "")]
    if plan.steps:
        return [("nothing is in the way", "good"), ("; this was a dry run, nothing was changed", "")]
    if plan.command == "recover":
        return [("nothing to write", "good"), (": only the journal is looked at", "")]
    return [("nothing to do", "good"), (": it is so already", "")]
