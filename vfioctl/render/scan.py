"""The list of devices, and the same list as a tree."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.model.verdict import reasons_against
from vfioctl.render.columns import Column, lay_out
from vfioctl.render.device_text import NONE, Namer, ids_text, state
from vfioctl.render.styled import fitted
from vfioctl.render.text import visible
from vfioctl.render.topology import branches
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.render.styled import Line
    from vfioctl.sysfs.names import Names

NARROW = 100
"""Below this width the ids are left out, so that names stay readable."""

_SHORT_WORD = 8

_INDENT = " " * 14

_ADDRESS, _CLASS, _ID, _DRIVER = Column("ADDRESS"), Column("CLASS"), Column("ID"), Column("DRIVER", least=10)
_GROUP, _USED_FOR, _NAME = Column("GROUP", right=True), Column("USED FOR", least=12), Column("NAME", least=14)
_WIDE = (Column("NUMA", right=True), Column("SUBSYSTEM"), Column("OVERRIDE"), Column("SLOT"))


class View(NamedTuple):
    """How the list is wanted."""

    width: int | None = None
    """Columns of the terminal; None: nothing is shortened."""
    wide: bool = False
    tree: bool = False
    verbose: bool = False
    colored: bool = False


def scan_lines(host: Host, devices: Sequence[PciDevice], names: Names, view: View) -> Iterator[Line]:
    """Yield the list of devices."""
    placed: list[tuple[str, PciDevice | None]]
    placed = list(branches(host, devices)) if view.tree else [("", device) for device in devices]
    columns, cells = _layout(names, view)
    empty = [""] * (len(columns) - 1)
    rows = [cells(label, device) if device else (label, *empty) for label, device in placed]
    styles = (_styles(columns, device) for _, device in placed) if view.colored else None
    lines = lay_out(columns, rows, width=None if view.wide else view.width, styles=styles)
    yield next(lines)
    for (_, device), line in zip(placed, lines, strict=True):
        yield line
        if view.verbose and device:
            yield from _details(host, device)


def _layout(names: Names, view: View) -> tuple[list[Column], Callable[[str, PciDevice], tuple[str, ...]]]:
    """Return the columns that suit the view, and a function that fills them."""
    namer = Namer(names, with_vendor=view.wide)
    if view.wide:
        columns = [_ADDRESS, _CLASS, _ID, _DRIVER, _GROUP, *_WIDE, _USED_FOR, _NAME]

        def fill(label: str, device: PciDevice) -> tuple[str, ...]:
            first, last = _first(label, device, namer), (state(device)[0], namer.name(device))
            return (*first[:2], ids_text(device), *first[2:], *_more(device), *last)

    elif view.width is not None and view.width < NARROW:
        columns = [_ADDRESS, _CLASS, _DRIVER, _GROUP, _USED_FOR, _NAME]

        def fill(label: str, device: PciDevice) -> tuple[str, ...]:
            address, word, driver, group = _first(label, device, namer)
            return address, fitted(word, _SHORT_WORD), driver, group, state(device)[0], namer.name(device)

    else:
        columns = [_ADDRESS, _CLASS, _ID, _DRIVER, _GROUP, _USED_FOR, _NAME]

        def fill(label: str, device: PciDevice) -> tuple[str, ...]:
            address, word, driver, group = _first(label, device, namer)
            return address, word, ids_text(device), driver, group, state(device)[0], namer.name(device)

    return columns, fill


def _first(label: str, device: PciDevice, namer: Namer) -> tuple[str, str, str, str]:
    group = device.iommu_group
    return (
        f"{label}{device.address}",
        namer.word(device),
        visible(device.driver) if device.driver else NONE,
        NONE if group is None else str(group),
    )


def _more(device: PciDevice) -> tuple[str, str, str, str]:
    subsystem = NONE
    if device.subsystem_vendor_id is not None and device.subsystem_device_id is not None:
        subsystem = f"{device.subsystem_vendor_id:04x}:{device.subsystem_device_id:04x}"
    numa = NONE if device.numa_node is None else str(device.numa_node)
    return numa, subsystem, visible(device.driver_override or NONE), visible(device.physical_slot or NONE)


def _styles(columns: Sequence[Column], device: PciDevice | None) -> list[str]:
    if device is None:
        return ["faint"] * len(columns)
    plain = "faint" if device.is_bridge else ""
    special = {_DRIVER: "good" if device.on_vfio else plain, _USED_FOR: state(device)[1]}
    return [special.get(column, plain) for column in columns]


def _details(host: Host, device: PciDevice) -> Iterable[Line]:
    """Yield one line per use and per reason against passing it through."""
    for use in device.usage:
        yield [(f"{_INDENT}{visible(str(use))}", "warn")]
    if device.driver_override and device.driver_override != device.driver:
        yield [(f"{_INDENT}driver_override: {visible(device.driver_override)}", "")]
    if not device.is_bridge:
        for reason in reasons_against(host, device):
            yield [(f"{_INDENT}cannot be passed through: {visible(reason.text)}", "faint")]
