"""What a change is about: its devices with driver before and after, and the groups they are in."""

from __future__ import annotations

from vfioctl.model.viability import assess
from vfioctl.render.columns import Column, lay_out
from vfioctl.render.device_text import NONE, Namer
from vfioctl.render.fields import field
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.model.group import IommuGroup
    from vfioctl.model.host import Host
    from vfioctl.plan.plan import Plan
    from vfioctl.render.styled import Line, Piece
    from vfioctl.sysfs.names import Names

KERNEL_DECIDES = "(kernel decides)"
"""The driver after an unbind whose driver nobody recorded."""


def device_lines(
    host: Host,
    plan: Plan,
    after: Mapping[PciAddress, Piece],
    names: Names,
    titles: tuple[str, str],
    *,
    width: int | None,
) -> Iterator[Line]:
    """Yield devices with their drivers before and after a plan, each under a title of its own."""
    namer = Namer(names)
    before = {move.address: move.before.driver for move in plan.moves}
    rows: list[tuple[Piece, ...]] = []
    for address in sorted(after):
        device = host.by_address.get(address)
        driver = before.get(address, device.driver if device else None)
        rows.append(
            (
                (str(address), ""),
                (namer.word(device) if device else NONE, ""),
                (visible(driver or NONE), ""),
                after[address],
                (namer.name(device) if device else NONE, "faint"),
            )
        )
    columns = [Column(title) for title in ("ADDRESS", "CLASS", *titles)]
    columns.append(Column("NAME", least=14))
    texts = [[text for text, _ in row] for row in rows]
    yield from lay_out(columns, texts, width=width, styles=[[style for _, style in row] for row in rows])


def unmoved(host: Host, plan: Plan) -> dict[PciAddress, Piece]:
    """Return for each device of a plan what is said of it if it does not move."""
    refused = {finding.address for finding in plan.refusals}
    shown: dict[PciAddress, Piece] = {}
    for address in plan.scope:
        device = host.by_address.get(address)
        if device is None:
            shown[address] = ("not there", "bad")
        elif device.unbinding:
            shown[address] = ("unbind is waiting", "bad")
        elif address in refused:
            shown[address] = (f"{visible(device.driver or NONE)} stays", "faint")
        else:
            shown[address] = (f"{visible(device.driver or NONE)} already", "faint")
    return shown


def foreseen(host: Host, plan: Plan) -> dict[PciAddress, Piece]:
    """Return for each device of a plan the driver it is to have."""
    goals = unmoved(host, plan)
    for move in plan.moves:
        goals[move.address] = (visible(move.goal.driver or NONE), "good")
        if move.kernel_decides:
            goals[move.address] = (KERNEL_DECIDES, "")
    return goals


def groups_of(host: Host, plan: Plan) -> tuple[IommuGroup, ...]:
    """Return the groups of a plan's devices, in order."""
    numbers = {
        device.iommu_group for address in plan.scope if (device := host.by_address.get(address)) is not None
    }
    return tuple(group for group in host.groups if group.id in numbers)


def group_lines(
    host: Host, groups: Sequence[IommuGroup], *, width: int | None, then: str = ""
) -> Iterator[Line]:
    """Yield whether groups are viable, and because of whom not; many viable ones take one line."""
    viable: list[str] = []
    for group in groups:
        judged = assess(host, group)
        if judged.viable:
            viable.append(str(group.id))
            continue
        word, style = ("not viable", "bad") if judged.viable is False else ("unknown", "unknown")
        why = [f"{blocker.name}: {blocker.reason}" for blocker in judged.blockers]
        title = f"group {group.id}"
        texts = [f"{word}{then}: {text}" if not index else text for index, text in enumerate(why or ["?"])]
        yield from field(title, texts, width=width, indent=0, style=style)
    if viable:
        title = f"group {viable[0]}" if len(viable) == 1 else "groups"
        shown = "" if len(viable) == 1 else " ".join(viable) + ": "
        yield from field(title, [f"{shown}viable{then}"], width=width, indent=0, style="good")
