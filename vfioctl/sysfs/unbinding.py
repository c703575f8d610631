"""Tell a device without a driver from one whose unbind waits for a holder (K55).

The driver's link goes first, so "no driver" is half a lie while another program's unbind is stuck. What
still stands is the group's node, and on some kernels the device's own ``vfio-dev`` folder.
"""

from __future__ import annotations

from vfioctl.model.ids import is_vfio_driver
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vfioctl.sysfs.classes import VfioNodes
    from vfioctl.sysfs.fetch import Found
    from vfioctl.sysfs.holders import Holder


def mark_unbinding(found: Sequence[Found], vfio: VfioNodes, holders: Iterable[Holder]) -> list[Found]:
    """Return the devices with those marked whose unbind waits."""
    # Nearly all of thousands have a driver; no call is made for those.
    free = [one for one in found if one.facts.driver is None or one.facts.unbinding]
    if not vfio.groups or not free:
        return list(found)
    driven = {one.facts.iommu_group for one in found if is_vfio_driver(one.facts.driver)}
    parked = {one.facts.iommu_group for one in free if one.facts.driver is None and _was_vfio(one)}
    held = {holder.node for holder in holders}

    def waits(one: Found) -> bool:
        node = vfio.groups.get(one.facts.iommu_group) if one.facts.iommu_group is not None else None
        if one.facts.driver is not None or node is None or _is_unread(one, "driver"):
            return False
        if one.facts.iommu_group not in driven:
            # VFIO made the node and removes it with its last device: one is still on the way out. Where no
            # override tells which (vfioctl itself sets it before the unbind), it may be any of them.
            return _was_vfio(one) or (one.facts.iommu_group not in parked and not one.facts.bridge)
        # A sibling explains the node: only with a holder can there be an unbind that waits.
        return node in held and _was_vfio(one)

    marked = {one.address for one in free if one.facts.unbinding or waits(one)}
    return [
        one._replace(facts=one.facts._replace(unbinding=True)) if one.address in marked else one
        for one in found
    ]


def _was_vfio(one: Found) -> bool:
    """Tell whether the override still names VFIO, or could not be read, as while an unbind is stuck."""
    return _is_unread(one, "driver_override") or is_vfio_driver(one.facts.driver_override)


def _is_unread(one: Found, attribute: str) -> bool:
    return any(field == attribute for field, _ in one.facts.unread)
