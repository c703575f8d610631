"""IOMMU groups explained: who is in them, what stands in the way, what to type."""

from __future__ import annotations

from vfioctl.model.together import why_together
from vfioctl.model.usage import UsageKind
from vfioctl.render.columns import Column, lay_out
from vfioctl.render.device_text import NONE, Namer
from vfioctl.render.fields import field
from vfioctl.render.outlook import Outlook, outlook
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.model.device import PciDevice
    from vfioctl.model.group import IommuGroup, OtherMember
    from vfioctl.model.host import Host
    from vfioctl.render.styled import Line, Piece
    from vfioctl.sysfs.names import Names

_COLUMNS = (
    Column(""),
    Column("ADDRESS"),
    Column("CLASS"),
    Column("DRIVER", least=8),
    Column("STATE"),
    Column("NAME", least=14),
)
_HELD = {UsageKind.VM, UsageKind.PROCESS}
_TOTALS = ("viable", "viable after bind", "not viable", "not for a VM", "unknown", "stays with the host")


def groups_lines(
    host: Host, groups: Sequence[IommuGroup], names: Names, *, width: int | None, verbose: bool = False
) -> Iterator[Line]:
    """Yield an explanation of every group, and a line that counts them."""
    outlooks = [outlook(host, group) for group in groups]
    namer = Namer(names)
    rows: list[list[Piece]] = []
    for group, prospects in zip(groups, outlooks, strict=True):
        rows += [_member(member, prospects, namer) for member in host.members(group)]
        rows += [_other(other, prospects) for other in group.other_members]
    texts = [[text for text, _ in row] for row in rows]
    styles = [[style for _, style in row] for row in rows]
    lines = lay_out(_COLUMNS, texts, width=width, styles=styles)
    next(lines)
    for group, prospects in zip(groups, outlooks, strict=True):
        yield _title(group, prospects)
        for _ in range(len(host.members(group)) + len(group.other_members)):
            yield next(lines)
        yield from _explanation(host, group, prospects, width=width, verbose=verbose)
        yield []
    yield from _totals(outlooks, width)


def _title(group: IommuGroup, prospects: Outlook) -> Line:
    title: list[Piece] = [(f"group {group.id}", "strong"), ("  ", ""), (prospects.word, prospects.style)]
    if group.type:
        title.append((f"  ({visible(group.type)})", "faint"))
    return title


def _member(member: PciDevice, prospects: Outlook, namer: Namer) -> list[Piece]:
    blocks = any(blocker.name == str(member.address) for blocker in prospects.judged.blockers)
    plain = "faint" if member.is_bridge and not blocks else ""
    state: Piece = ("blocks", prospects.style) if blocks else (NONE, "faint")
    if member.on_vfio:
        state = ("on vfio", "good")
    elif member.driver is None and not member.is_bridge:
        state = ("no driver", "faint")
    if member.alive is False:
        state = ("dead", "bad")
    return [
        ("", ""),
        (str(member.address), plain),
        (namer.word(member), plain),
        (visible(member.driver or NONE), "good" if member.on_vfio else plain),
        state,
        (namer.name(member), plain),
    ]


def _other(other: OtherMember, prospects: Outlook) -> list[Piece]:
    blocks = any(blocker.name == other.name for blocker in prospects.judged.blockers)
    return [
        ("", ""),
        ("non-PCI", ""),
        (NONE, "faint"),
        (visible(other.driver or NONE), ""),
        ("blocks", "bad") if blocks else (NONE, "faint"),
        (visible(other.name), ""),
    ]


def _explanation(
    host: Host, group: IommuGroup, prospects: Outlook, *, width: int | None, verbose: bool
) -> Iterator[Line]:
    yield from field("because", prospects.why, width=width)
    yield from next_step(prospects, width=width)
    holders = [
        use.detail
        for member in host.members(group)
        if member.on_vfio or member.unbinding
        for use in member.usage
        if use.kind in _HELD
    ]
    yield from field("in use", dict.fromkeys(holders), width=width)
    together = why_together(host, group) if prospects.style != "faint" or verbose else ()
    yield from field("together", together, width=width)
    regions = [
        f"{region.type} 0x{region.start:x}-0x{region.end:x}"
        for region in group.reserved_regions
        # Every group has the MSI window; it is no news.
        if verbose or region.type.startswith("direct")
    ]
    yield from field("reserved", regions, width=width)


def next_step(prospects: Outlook, *, width: int | None) -> Iterator[Line]:
    """Yield what to type, what that would bind, and what the host would lose by it."""
    if prospects.command:
        # Never wrapped: it is there to be copied.
        yield from field("next", [prospects.command], width=None, style="command")
        if len(prospects.binds) > 1:
            yield from field("it binds", [" ".join(map(str, prospects.binds))], width=width)
    several = len(prospects.binds) > 1
    losses = [
        f"{loss.address}: {loss.usage.detail}" if several else loss.usage.detail
        for loss in prospects.judged.losses
    ]
    yield from field("host loses", losses, width=width, style="warn")


def _totals(outlooks: Sequence[Outlook], width: int | None) -> Iterator[Line]:
    counts = [(word, sum(one.word == word for one in outlooks)) for word in _TOTALS]
    groups = "1 group" if len(outlooks) == 1 else f"{len(outlooks)} groups"
    parts = [f"{count} {word}" for word, count in counts if count]
    return field("", [f"{groups}: {', '.join(parts)}" if parts else "no such group"], width=width, indent=0)


def no_groups_lines(host: Host, *, width: int | None) -> Iterator[Line]:
    """Say that there are no groups, what that means, and how to find out why."""
    if host.iommu is None:
        yield [("IOMMU groups: unknown", "unknown")]
        yield from field("because", ["they could not be read on this host"], width=width)
        return
    yield [("no IOMMU groups", "bad"), (": nothing can be passed through", "")]
    yield from field("because", ["no IOMMU is at work on this host"], width=width)
    steps = [
        "switch it on in the firmware setup: VT-d (Intel), AMD-Vi or IOMMU (AMD), SMMU (arm64)",
        "Intel: add intel_iommu=on to the kernel command line (AMD and arm64 need nothing there)",
        "in a virtual machine: give it a virtual IOMMU",
    ]
    yield from field("what to do", steps, width=width)
    yield from field(
        "look at", ["dmesg | grep -i -e DMAR -e AMD-Vi -e IOMMU -e smmu"], width=None, style="command"
    )
