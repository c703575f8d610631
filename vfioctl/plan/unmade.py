"""What is to be made at every boot held against what there is."""

from __future__ import annotations

from vfioctl.model.device import PhysicalFunction
from vfioctl.model.persisted import UNIT, WANTED, Split, card_of
from vfioctl.model.value import NamedTuple
from vfioctl.plan.restore import program_in, unit_text, wanted_text
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.persisted import Mediated, Persisted

_SEE = f"see why: systemctl status {UNIT.rpartition('/')[2]}; for this boot: "


class Drift(NamedTuple):
    """One way in which what is stored does not fit any more."""

    address: PciAddress | None
    """The stored address; None: it is about a generated file."""
    kind: str
    """``gone``, ``renumbered``, ``swapped``, ``ids``, ``moved``, ``driver``, ``number``, ``absent``, or
    ``files``, which are about no device."""
    message: str
    hint: str


def find_unmade(host: Host, persisted: Persisted) -> tuple[Drift, ...]:
    """Return what of the stored virtual functions and mediated devices does not fit, and their unit."""
    drifts = [drift for one in persisted.splits for drift in _of_split(host, one)]
    drifts += [drift for one in persisted.mediated for drift in _of_mediated(host, one)]
    return (*drifts, *_of_unit(persisted))


def parent_drift(host: Host, one: Split | Mediated) -> Drift | None:
    """Return why what is at the parent's address now is not the parent; None if it is."""
    device = host.by_address.get(one.address)
    forget = f"vfioctl persist remove {one.address if isinstance(one, Split) else one.uuid}"
    if device is None:
        return Drift(
            one.address,
            "gone",
            f"{one.address}: there is no such device",
            f"if it is gone for good: {forget}",
        )
    if not one.card.is_like(card_of(device)):
        text = f"{one.address}: another card is there: {card_of(device)}, was {one.card}; it was left alone"
        return Drift(one.address, "ids", text, f"see what it is: vfioctl show {one.address}; or {forget}")
    return None


def _of_split(host: Host, split: Split) -> Iterator[Drift]:
    wrong = parent_drift(host, split)
    if wrong is not None:
        yield wrong
        return
    functions = _functions(host, host.by_address[split.address])
    again = f"vfioctl sriov set {'--bind ' if split.bind else ''}{split.address} {split.number}"
    if len(functions) != split.number:
        text = f"{split.address}: it has {len(functions)} virtual functions, not {split.number}"
        yield Drift(split.address, "number", text, _SEE + again)
        return
    loose = [str(one.address) for one in functions if split.bind and not one.on_vfio]
    if loose:
        text = f"{split.address}: of its virtual functions these are not on a vfio driver: {' '.join(loose)}"
        yield Drift(split.address, "driver", text, f"for this boot: {again}")


def _functions(host: Host, device: PciDevice) -> list[PciDevice]:
    if not isinstance(device.sriov, PhysicalFunction):
        return []
    return [host.by_address[one] for one in device.sriov.virtual_functions if one in host.by_address]


def _of_mediated(host: Host, one: Mediated) -> Iterator[Drift]:
    wrong = parent_drift(host, one)
    if wrong is not None:
        yield wrong
        return
    found = next((there for there in host.mdevs if there.uuid == one.uuid), None)
    again = f"vfioctl mdev create --uuid {one.uuid} {one.address} {one.type_id}"
    if found is None:
        text = f"{one.uuid}: there is no such mediated device"
        yield Drift(one.address, "absent", text, _SEE + again)
    elif (found.parent, found.type_id) != (one.address, one.type_id):
        text = f"{one.uuid}: it is {found.type_id} of {found.parent}, was {one.type_id} of {one.address}"
        yield Drift(one.address, "absent", text, f"vfioctl mdev remove {one.uuid} && {again}")


def _of_unit(persisted: Persisted) -> Iterator[Drift]:
    needed = bool(persisted.splits or persisted.mediated)
    program = program_in(persisted.unit)
    right = unit_text(program) if program is not None else None
    for path, now, wanted in (
        (UNIT, persisted.unit, right),
        (WANTED, persisted.wanted, wanted_text()),
    ):
        if path in persisted.unread or (now is None and not needed):
            continue
        if not needed:
            yield Drift(None, "files", f"{path} is for nothing: nothing is stored", f"remove it: rm {path}")
        elif now is None or now != wanted:
            what = "is missing" if now is None else "says something else than vfioctl has written"
            yield Drift(None, "files", f"{path} {what}", f"write it anew: {_once_more(persisted)}")


def _once_more(persisted: Persisted) -> str:
    for split in persisted.splits:
        return f"vfioctl sriov set --persist {'--bind ' if split.bind else ''}{split.address} {split.number}"
    for one in persisted.mediated:
        return f"vfioctl mdev create --persist --uuid {one.uuid} {one.address} {one.type_id}"
    return "vfioctl persist list"
