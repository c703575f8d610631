"""Mediated devices, and what kinds of them can be made."""

from __future__ import annotations

from vfioctl.render.columns import Column, lay_out
from vfioctl.render.device_text import NONE, Namer
from vfioctl.render.document import document
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host, MdevInstance
    from vfioctl.render.document import Document
    from vfioctl.render.styled import Line
    from vfioctl.sysfs.names import Names

_TYPES = (
    Column("PARENT"),
    Column("TYPE"),
    Column("LEFT", right=True),
    Column("API"),
    Column("CALLED", least=8),
    Column("NAME", least=14),
)
_INSTANCES = (Column("UUID"), Column("PARENT"), Column("TYPE"), Column("GROUP", right=True))


def type_lines(devices: Sequence[PciDevice], names: Names, *, width: int | None) -> Iterator[Line]:
    """Yield the types that devices offer, and how many more of each can be made."""
    namer = Namer(names)
    rows = [
        [
            str(device.address),
            visible(kind.id),
            "?" if kind.available_instances is None else str(kind.available_instances),
            visible(kind.device_api or NONE),
            visible(kind.name or NONE),
            namer.name(device),
        ]
        for device in devices
        for kind in device.mdev_types
    ]
    if not rows:
        yield [("no device here offers mediated devices", "")]
        return
    yield from lay_out(_TYPES, rows, width=width)


def instance_lines(instances: Sequence[MdevInstance], *, width: int | None) -> Iterator[Line]:
    """Yield the mediated devices that there are."""
    if not instances:
        yield [("there is no mediated device", "")]
        return
    rows = [
        [
            visible(one.uuid),
            str(one.parent),
            visible(one.type_id or NONE),
            NONE if one.iommu_group is None else str(one.iommu_group),
        ]
        for one in instances
    ]
    yield from lay_out(_INSTANCES, rows, width=width)


def types_document(devices: Sequence[PciDevice]) -> Document:
    """Describe the types that devices offer."""
    return document(
        "mdev-types",
        types=[
            {
                "parent": str(device.address),
                "id": kind.id,
                "name": kind.name,
                "device_api": kind.device_api,
                "available_instances": kind.available_instances,
            }
            for device in devices
            for kind in device.mdev_types
        ],
    )


def instances_document(host: Host) -> Document:
    """Describe the mediated devices that there are."""
    return document(
        "mdev",
        devices=[
            {
                "uuid": one.uuid,
                "parent": str(one.parent),
                "type": one.type_id,
                "iommu_group": one.iommu_group,
            }
            for one in host.mdevs
        ],
    )
