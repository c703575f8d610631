"""Where devices came from: ``drivers.json``, written by ``bind`` and used up by ``unbind``."""

from __future__ import annotations

from vfioctl.apply.journal import decode_address, decode_binding
from vfioctl.apply.state import read_file, replace_file
from vfioctl.errors import RefusedError
from vfioctl.model.binding import Record
from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.json_text import encode
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from vfioctl.model.binding import Binding, Move

_NAME = "drivers.json"
_SCHEMA = 1


class Arrival(NamedTuple):
    """A device at the end of a change: which one it is, how it was to move, where it stands."""

    move: Move
    vendor_id: int
    device_id: int
    binding: Binding


def read_records(state: str, boot_id: str | None) -> tuple[Record, ...]:
    """Read the records of this boot; none where there is no file, or where it is of another boot.

    Raises:
        NotPermittedError: the file is not readable for this user.
        RefusedError: the file is damaged.

    """
    path = f"{state}/{_NAME}"
    text = read_file(path)
    if text is None:
        return ()
    import json

    try:
        document = json.loads(text)
        if document["schema"] != _SCHEMA:
            raise ValueError(document["schema"])  # noqa: TRY301 - one way to say damaged
        records = tuple(map(_decode, document["records"]))
        return records if document["boot_id"] == boot_id else ()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RefusedError(
            f"{path} is damaged: where the devices came from is not known",
            hint=f"remove {path}, then say where to with 'vfioctl unbind --driver'",
        ) from error


def write_records(state: str, boot_id: str, records: Iterable[Record]) -> None:
    """Write the records of this boot, synced before it returns.

    Raises:
        NotPermittedError: the place is read-only.
        VfioctlError: they cannot be written.

    """
    document = {"schema": _SCHEMA, "boot_id": boot_id, "records": [_encode(one) for one in sorted(records)]}
    replace_file(f"{state}/{_NAME}", encode(document) + "\n")


def updated(records: Iterable[Record], command: str, arrivals: Iterable[Arrival]) -> tuple[Record, ...]:
    """Return the records after a change; the same when it is asked again, as after a crash."""
    kept = {record.address: record for record in records}
    for arrival in arrivals:
        record = _record_of(kept.pop(arrival.move.address, None), command, arrival)
        if record is not None:
            kept[record.address] = record
    return tuple(kept[address] for address in sorted(kept))


def _record_of(known: Record | None, command: str, arrival: Arrival) -> Record | None:
    """Decide whether a device has a record now, and which."""
    move, now = arrival.move, arrival.binding
    if known is not None and (known.vendor_id, known.device_id) != (arrival.vendor_id, arrival.device_id):
        known = None  # another card is in that slot
    if _is_host_driver(now):
        return None  # there is nothing to come back to
    if now == move.before:
        return known
    if command == "unbind" and now.driver == move.goal.driver:
        return None
    if command != "bind" or (known is not None and not _is_host_driver(move.before)):
        return known
    if is_vfio_driver(move.before.driver):
        return None  # from one VFIO driver to another; where it was before is not known
    return Record(move.address, arrival.vendor_id, arrival.device_id, move.before)


def _is_host_driver(binding: Binding) -> bool:
    return binding.driver is not None and not is_vfio_driver(binding.driver)


def _encode(record: Record) -> dict[str, Any]:
    return {
        "address": str(record.address),
        "vendor_id": f"{record.vendor_id:04x}",
        "device_id": f"{record.device_id:04x}",
        "origin": record.origin._asdict(),
    }


def _decode(record: dict[str, Any]) -> Record:
    ids = int(record["vendor_id"], 16), int(record["device_id"], 16)
    return Record(decode_address(record["address"]), *ids, decode_binding(record["origin"]))
