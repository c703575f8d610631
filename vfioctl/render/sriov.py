"""Physical functions with their virtual ones."""

from __future__ import annotations

from vfioctl.model.device import PhysicalFunction
from vfioctl.render.columns import Column, lay_out
from vfioctl.render.device_text import NONE, Namer, state
from vfioctl.render.document import document
from vfioctl.render.fields import field
from vfioctl.render.findings import finding_lines, way_out
from vfioctl.render.step_text import typed
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.splitting import Splittings
    from vfioctl.plan.plan import Plan
    from vfioctl.render.document import Document
    from vfioctl.render.styled import Line, Piece
    from vfioctl.sysfs.names import Names

_COLUMNS = (
    Column("ADDRESS"),
    Column("VFS"),
    Column("DRIVER"),
    Column("GROUP", right=True),
    Column("STATE", least=12),
    Column("NAME", least=14),
)


def sriov_lines(
    host: Host, devices: Sequence[PciDevice], splittings: Splittings, names: Names, *, width: int | None
) -> Iterator[Line]:
    """Yield physical functions, each followed by its virtual ones."""
    if not devices:
        yield [("no device here can have virtual functions", "")]
        return
    namer = Namer(names)
    rows = [row for device in devices for row in _rows(host, device, namer)]
    texts = [[text for text, _ in row] for row in rows]
    yield from lay_out(_COLUMNS, texts, width=width, styles=[[style for _, style in row] for row in rows])
    off = [one.address for one in splittings.functions if one.autoprobe is False]
    for device in devices:
        if device.address in off:
            text = f"{device.address}: drivers take no new virtual function (sriov_drivers_autoprobe is 0)"
            yield from field("note", [text], width=width, indent=0)


def _rows(host: Host, device: PciDevice, namer: Namer) -> Iterator[list[Piece]]:
    physical = device.sriov
    if not isinstance(physical, PhysicalFunction):
        return
    total = "?" if physical.total_vfs is None else str(physical.total_vfs)
    yield _row(device, f"{len(physical.virtual_functions)}/{total}", namer)
    for number, address in enumerate(physical.virtual_functions):
        virtual = host.by_address.get(address)
        if virtual is not None:
            yield _row(virtual, f"#{number}", namer)


def _row(device: PciDevice, place: str, namer: Namer) -> list[Piece]:
    return [
        (str(device.address), ""),
        (place, ""),
        (visible(device.driver or NONE), "good" if device.on_vfio else ""),
        (NONE if device.iommu_group is None else str(device.iommu_group), ""),
        state(device),
        (namer.name(device), "faint"),
    ]


def sriov_document(host: Host, devices: Sequence[PciDevice], splittings: Splittings) -> Document:
    """Describe physical functions and their virtual ones."""
    return document("sriov", devices=[_physical(host, device, splittings) for device in devices])


def _physical(host: Host, device: PciDevice, splittings: Splittings) -> Document:
    splitting = splittings.of(device.address)
    physical = device.sriov
    found = physical.virtual_functions if isinstance(physical, PhysicalFunction) else ()
    model = None if splitting is None or splitting.vf_device_id is None else splitting.vf_device_id
    return {
        "address": str(device.address),
        "driver": device.driver,
        "total_vfs": physical.total_vfs if isinstance(physical, PhysicalFunction) else None,
        "num_vfs": len(found),
        "drivers_autoprobe": None if splitting is None else splitting.autoprobe,
        "vf_device_id": None if model is None else f"{model:04x}",
        "virtual_functions": [
            {
                "index": number,
                "address": str(address),
                "driver": virtual.driver if (virtual := host.by_address.get(address)) else None,
                "iommu_group": virtual.iommu_group if virtual else None,
            }
            for number, address in enumerate(found)
        ],
    }


def sriov_plan_lines(plan: Plan, *, binds: bool, width: int | None) -> Iterator[Line]:
    """Yield a plan that is not carried out."""
    if plan.steps:
        yield [(f"vfioctl {plan.command} would do this, in this order:", "strong")]
        for step in plan.steps:
            # Never wrapped: they are there to be copied.
            for line in typed(step):
                yield [("  ", ""), (visible(line), "command")]
        yield []
    yield from finding_lines(plan.findings, width=width)
    if plan.refusals:
        yield [("refused", "bad"), (f" (exit code {plan.exit_code}): nothing would be changed", "")]
    elif plan.steps:
        then = "; its virtual functions would be bound then" if binds else ""
        yield [("nothing is in the way", "good"), (f"; this was a dry run, nothing was changed{then}", "")]
    else:
        yield [("nothing to do", "good"), (": it is so already", "")]
    way = way_out(plan)
    if way:
        yield [(way, "")]
