"""Races with the scheduler that a configuration makes unavoidable, and the split that would avoid them.

The scheduler counts; it does not know groups, and it learns that one is taken only from the node's status,
seconds later. Where a group's parts are counted apart, two pods can be given parts of one group.
"""

from __future__ import annotations

from vfioctl.plugin.remark import Remark, few
from vfioctl.plugin.settings import SharedGroup
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.plugin.resources import Sorted
    from vfioctl.plugin.settings import Resource
    from vfioctl.plugin.values import Item


def races(found: Sorted) -> Iterator[Remark]:
    """Yield one remark for each set of resources whose items share groups."""
    by_group: dict[int, list[Item]] = {}
    for offer in found.offers:
        for item in offer.items:
            for group in item.groups:
                by_group.setdefault(group, []).append(item)
    together: dict[tuple[str, ...], list[int]] = {}
    for group, items in by_group.items():
        if len(items) > 1:
            names = tuple(dict.fromkeys(item.resource for item in items))
            together.setdefault(names, []).append(group)
    resources = {resource.name: resource for resource in found.resources}
    for names, groups in together.items():
        yield _race([resources[name] for name in names], groups, [by_group[group] for group in groups])


def _race(resources: Sequence[Resource], groups: list[int], shared: Sequence[list[Item]]) -> Remark:
    names = [resource.name for resource in resources]
    ids = [item.id for items in shared for item in items]
    if len(groups) == 1:
        what = f"IOMMU group {groups[0]} has {len(ids)} items of {' and '.join(names)}"
    else:
        what = f"IOMMU groups {few(list(map(str, groups)))} have each several items of {' and '.join(names)}"
    message = f"{what} ({few(ids)}): two pods can be given parts of one, and the second fails"
    proposal = _proposal(resources)
    if len(names) == 1:
        return Remark("group-within", names[0], message, 'set unit = "group"', proposal)
    hint = 'one resource with unit = "group", or let every pod ask for all of them'
    if all(resource.shared_group is SharedGroup.EXCLUSIVE for resource in resources):
        hint = 'one resource with unit = "group": as it is, no pod can have more than one of them'
    return Remark("group-across", names[0], message, hint, proposal)


def _proposal(resources: Sequence[Resource]) -> tuple[str, ...]:
    """Return the resource that would have whole groups, in place of these."""
    selected = dict.fromkeys(selector.text for resource in resources for selector in resource.select)
    excluded = dict.fromkeys(selector.text for resource in resources for selector in resource.exclude)
    if not selected:
        return ()  # Without a file there is nothing to replace.
    lines = ["[[resource]]", f'name = "{resources[0].name}"', f"select = [{_listed(selected)}]"]
    if excluded:
        lines.append(f"exclude = [{_listed(excluded)}]")
    return (*lines, 'unit = "group"')


def _listed(texts: dict[str, None]) -> str:
    return ", ".join(f'"{text}"' for text in texts)
