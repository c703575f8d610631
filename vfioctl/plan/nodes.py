"""Whose nodes are to get another owner or mode."""

from __future__ import annotations

from vfioctl.plan.steps import OwnNode
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.model.address import PciAddress
    from vfioctl.model.binding import Move
    from vfioctl.model.device import PciDevice
    from vfioctl.model.situation import NodeMode, Situation
    from vfioctl.plan.plan import Request


def owning(
    situation: Situation, request: Request, moves: Iterable[Move], devices: Iterable[PciDevice]
) -> Iterator[OwnNode]:
    """Yield a step for each group whose nodes are about to appear, or differ from what was asked for."""
    wanted = (request.uid, request.gid, request.mode)
    if wanted == (None, None, None):
        return
    groups: dict[int, list[PciDevice]] = {}
    for device in devices:
        if device.iommu_group is not None:
            groups.setdefault(device.iommu_group, []).append(device)
    standing = {node.path: node for node in situation.nodes}
    moving: set[PciAddress] = {move.address for move in moves}
    for number, members in groups.items():
        step = OwnNode(number, tuple(member.address for member in members), *wanted)
        paths = [step.path, *(member.vfio_cdev for member in members if member.vfio_cdev is not None)]
        before = tuple(standing[path] for path in paths if path in standing)
        if (
            not moving.isdisjoint(step.members)
            or len(before) < len(paths)
            or not all(_suits(node, step) for node in before)
        ):
            yield step._replace(before=before)


def giving_back(nodes: Iterable[NodeMode], step: OwnNode) -> OwnNode | None:
    """Return the step that gives the nodes of a group back what they had; None where none is needed.

    None as well where they had not all the same: no step says that (see `unlike`).
    """
    if not step.before or unlike(step):
        return None
    _, uid, gid, mode = step.before[0]
    back = OwnNode(step.group, step.members, uid, gid, mode)
    paths = {node.path for node in step.before}
    return None if all(_suits(node, back) for node in nodes if node.path in paths) else back


def unlike(step: OwnNode) -> bool:
    """Tell whether the nodes of a group had not all the same owner and mode."""
    return len({node[1:] for node in step.before}) > 1


def _suits(node: NodeMode, step: OwnNode) -> bool:
    return step.uid in {None, node.uid} and step.gid in {None, node.gid} and step.mode in {None, node.mode}
