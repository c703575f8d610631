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
        if not moving.isdisjoint(step.members) or not all(
            _suits(standing.get(path), request) for path in paths
        ):
            yield step


def _suits(node: NodeMode | None, request: Request) -> bool:
    return (
        node is not None
        and request.uid in {None, node.uid}
        and request.gid in {None, node.gid}
        and request.mode in {None, node.mode}
    )
