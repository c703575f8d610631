"""The list of devices, and the same list as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vfioctl.model.verdict import reasons_against
from vfioctl.render.columns import Column, lay_out
from vfioctl.render.device_text import NONE, device_name, full_name, ids_text, state
from vfioctl.render.text import visible
from vfioctl.render.topology import branches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.render.styled import Line, Piece
    from vfioctl.sysfs.names import Names

NARROW = 100
"""Below this width the ids are left out, so that names stay readable."""

_INDENT = " " * 14


class View(NamedTuple):
    """How the list is wanted."""

    width: int | None = None
    """Columns of the terminal; None: nothing is shortened."""
    wide: bool = False
    tree: bool = False
    verbose: bool = False


def scan_lines(host: Host, devices: Sequence[PciDevice], names: Names, view: View) -> Iterator[Line]:
    """Yield the list of devices."""
    placed = branches(host, devices) if view.tree else (("", device) for device in devices)
    labelled = [(label, device) for label, device in placed]
    columns = _columns(view)
    titles = [column.title for column in columns]
    rows: list[list[Piece]] = []
    for label, device in labelled:
        cells = _cells(device, names, label, wide=view.wide) if device else {"ADDRESS": (label, "faint")}
        rows.append([cells.get(title, ("", "")) for title in titles])
    lines = lay_out(columns, rows, None if view.wide else view.width)
    yield next(lines)
    for (_, device), line in zip(labelled, lines, strict=True):
        yield line
        if view.verbose and device:
            yield from _details(host, device)


def _columns(view: View) -> list[Column]:
    columns = [
        Column("ADDRESS"),
        Column("CLASS"),
        Column("ID"),
        Column("DRIVER", least=10),
        Column("GROUP", right=True),
        Column("USED FOR", least=12),
        Column("NAME", least=14),
    ]
    if view.wide:
        columns[5:5] = [Column("NUMA", right=True), Column("SUBSYSTEM"), Column("OVERRIDE"), Column("SLOT")]
    elif view.width is not None and view.width < NARROW:
        del columns[2]
    return columns


def _cells(device: PciDevice, names: Names, label: str, *, wide: bool) -> dict[str, Piece]:
    plain = "faint" if device.is_bridge else ""
    cells = {
        "ADDRESS": (f"{label}{device.address}", plain),
        "CLASS": (device.word, plain),
        "ID": (ids_text(device), plain),
        "DRIVER": (visible(device.driver or NONE), "good" if device.on_vfio else plain),
        "GROUP": (_number(device.iommu_group), plain),
        "USED FOR": state(device),
        "NAME": ((full_name if wide else device_name)(device, names), plain),
    }
    if wide:
        cells["NUMA"] = (_number(device.numa_node), plain)
        cells["SUBSYSTEM"] = (_subsystem(device), plain)
        cells["OVERRIDE"] = (visible(device.driver_override or NONE), plain)
        cells["SLOT"] = (visible(device.physical_slot or NONE), plain)
    return cells


def _number(number: int | None) -> str:
    return NONE if number is None else str(number)


def _subsystem(device: PciDevice) -> str:
    if device.subsystem_vendor_id is None or device.subsystem_device_id is None:
        return NONE
    return f"{device.subsystem_vendor_id:04x}:{device.subsystem_device_id:04x}"


def _details(host: Host, device: PciDevice) -> Iterable[Line]:
    """Yield one line per use and per reason against passing it through."""
    for use in device.usage:
        yield [(f"{_INDENT}{visible(str(use))}", "warn")]
    if device.driver_override and device.driver_override != device.driver:
        yield [(f"{_INDENT}driver_override: {visible(device.driver_override)}", "")]
    if not device.is_bridge:
        for reason in reasons_against(host, device):
            yield [(f"{_INDENT}cannot be passed through: {visible(reason.text)}", "faint")]
