"""IOMMU groups as a document."""

from __future__ import annotations

from vfioctl.model.together import why_together
from vfioctl.model.viability import assess
from vfioctl.render.document import document
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.model.group import IommuGroup
    from vfioctl.model.host import Host
    from vfioctl.render.document import Document


def groups_document(host: Host, groups: Iterable[IommuGroup]) -> Document:
    """Describe groups of a host."""
    return document("groups", groups=[_group(host, group) for group in groups])


def _group(host: Host, group: IommuGroup) -> Document:
    judged = assess(host, group)
    return {
        "id": group.id,
        "type": group.type,
        "members": [str(address) for address in group.members],
        "viable": judged.viable,
        "blockers": [
            {"address": blocker.name, "driver": blocker.driver, "reason": blocker.reason}
            for blocker in judged.blockers
        ],
        "bind": [str(address) for address in judged.bind],
        "viable_after_bind": judged.viable_after_bind,
        "losses": [
            {"address": str(loss.address), "kind": loss.usage.kind.value, "detail": loss.usage.detail}
            for loss in judged.losses
        ],
        "together_because": list(why_together(host, group)),
        "reserved_regions": [
            # Hexadecimal text, as the kernel prints it: many readers of JSON round numbers past 2^53.
            {"start": f"0x{region.start:016x}", "end": f"0x{region.end:016x}", "type": region.type}
            for region in group.reserved_regions
        ],
    }
