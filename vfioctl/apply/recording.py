"""Keeps where devices came from, once it is clear where they are now."""

from __future__ import annotations

from vfioctl.apply.access import read_texts
from vfioctl.apply.records import Arrival, read_records, updated, write_records
from vfioctl.sysfs import root as paths
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vfioctl.apply.port import Port
    from vfioctl.model.address import PciAddress
    from vfioctl.model.binding import Move
    from vfioctl.plan.outcome import DeviceState
    from vfioctl.plan.unfinished import Unfinished


def record_origins(port: Port, state: str, unfinished: Unfinished, states: Iterable[DeviceState]) -> None:
    """Bring the records up to date with where a run has left its devices.

    Raises:
        RefusedError: the records are damaged.
        VfioctlError: they cannot be written; the journal must then stay.

    """
    moves = {move.address: move for moves in unfinished.units for move in moves}
    known = read_records(state, unfinished.boot_id)
    records = updated(known, unfinished.command, _arrivals(port, moves, states))
    if records != known:
        write_records(state, unfinished.boot_id, records)


def _arrivals(
    port: Port, moves: Mapping[PciAddress, Move], states: Iterable[DeviceState]
) -> Iterator[Arrival]:
    standing = [(moves[one.address], one.binding) for one in states if one.binding is not None]
    folders = [f"{paths.PCI_DEVICES}/{move.address}" for move, _ in standing]
    vendors = read_texts(port, [f"{folder}/vendor" for folder in folders])
    devices = read_texts(port, [f"{folder}/device" for folder in folders])
    for (move, binding), vendor, device in zip(standing, vendors, devices, strict=True):
        if vendor and device:
            yield Arrival(move, int(vendor, 16), int(device, 16), binding)
