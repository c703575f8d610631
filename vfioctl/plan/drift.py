"""What is stored held against the hardware, and against what else decides at boot."""

from __future__ import annotations

from vfioctl.model.persisted import MODULES, RULES, card_of
from vfioctl.model.value import NamedTuple
from vfioctl.plan.initramfs import early
from vfioctl.plan.persist import modules_of, modules_text, place_of, rules_text
from vfioctl.plan.unmade import Drift, find_unmade
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.persisted import Foreign, Persisted, Stored


class Conflict(NamedTuple):
    """Something else that decides at boot about a stored device, or about more than that."""

    address: PciAddress | None
    foreign: Foreign
    message: str


def find_drift(host: Host, persisted: Persisted) -> tuple[Drift, ...]:
    """Return everything that does not fit: the hardware, the drivers, the generated files."""
    found = [drift for one in persisted.stored for drift in _of_device(host, persisted, one)]
    return (*found, *_of_files(persisted), *find_unmade(host, persisted))


def _of_device(host: Host, persisted: Persisted, stored: Stored) -> Iterator[Drift]:
    device = host.by_address.get(stored.address)
    if device is None:
        there = _where_now(host, persisted, stored)
        gone = _drift(stored, "gone", "there is no such device", f"if it is gone for good: {_forget(stored)}")
        yield _renumbered(host, stored, there) if there else gone
        return
    if not stored.card.is_like(card_of(device)):
        yield _another_card(host, persisted, stored, device)
        return
    place = place_of(host, device)
    if None not in {place, stored.place} and place != stored.place:
        text = f"a card of this model is there, but behind other bridges: {place}, was {stored.place}"
        yield _drift(stored, "moved", text, f"if it is the one that is meant: {_again(stored.address)}")
    if device.driver != stored.driver and (device.address, "driver") not in host.unknown_fields:
        text = f"it is on {device.driver or 'no driver'}, not on {stored.driver}"
        hint = f"for this boot: vfioctl bind {stored.address}"
        if early([stored]):
            hint += "; if it is so after each boot, the initramfs lacks something: vfioctl persist list"
        yield _drift(stored, "driver", text, hint)


def _another_card(host: Host, persisted: Persisted, stored: Stored, device: PciDevice) -> Drift:
    """Say which card is there instead of the one that was meant, and where that one is."""
    for other in persisted.stored:
        there = host.by_address.get(other.address)
        if there is None or other.address == stored.address:
            continue
        if stored.card.is_like(card_of(there)) and other.card.is_like(card_of(device)):
            text = f"its card and that of {other.address} have changed places"
            hint = f"{_again(stored.address)} {other.address}"
            return _drift(stored, "swapped", text, f"if both are meant to be bound there: {hint}")
    found = _where_now(host, persisted, stored)
    if _is_there(host, stored, found):
        return _renumbered(host, stored, found)
    text = f"another card is there: {card_of(device)}, was {stored.card}; it was not bound"
    if found:
        # It may have been there all the time.
        text += f"; one like the stored one is at {_listed(found)}"
    return _drift(stored, "ids", text, f"see what it is: vfioctl show {stored.address}; or {_forget(stored)}")


def _where_now(host: Host, persisted: Persisted, stored: Stored) -> tuple[PciDevice, ...]:
    """Return the devices that may be a stored card: those on its way through the bridges, else all alike.

    Bus numbers shift when a card is added, ports do not. What is stored under its own address is none.
    """
    kept = {one.address for one in persisted.stored}
    alike = tuple(
        device
        for device in host.devices
        if device.address not in kept and stored.card.is_like(card_of(device))
    )
    if stored.place is None:
        return alike
    return tuple(one for one in alike if place_of(host, one) == stored.place) or alike


def _is_there(host: Host, stored: Stored, found: Sequence[PciDevice]) -> bool:
    """Tell whether what was found is the stored card for sure."""
    return len(found) == 1 and stored.place is not None and place_of(host, found[0]) == stored.place


def _renumbered(host: Host, stored: Stored, found: Sequence[PciDevice]) -> Drift:
    """Say where a stored card is now, or may be."""
    where = _listed(found)
    if _is_there(host, stored, found):
        text = f"its card is now at {where}"
    else:
        text = f"its card may now be {'at' if len(found) == 1 else 'one of'} {where}"
    return _drift(stored, "renumbered", text, f"{_forget(stored)} && {_again(found[0].address)}")


def _listed(devices: Iterable[PciDevice]) -> str:
    """Return addresses on one line."""
    return ", ".join(str(device.address) for device in devices)


def _of_files(persisted: Persisted) -> Iterator[Drift]:
    wanted = {
        RULES: (persisted.rules, rules_text(persisted.stored)),
        MODULES: (persisted.modules, modules_text(persisted.stored)),
    }
    for path, (now, text) in wanted.items():
        if now == text or path in persisted.unread:
            continue
        what = "is missing" if now is None else "says something else than what is stored"
        first = persisted.stored[0].address if persisted.stored else None
        hint = f"remove it: rm {path}" if first is None else f"write it anew: {_again(first)}"
        yield Drift(None, "files", f"{path} {what}", hint)


def _drift(stored: Stored, kind: str, text: str, hint: str) -> Drift:
    return Drift(stored.address, kind, f"{stored.address}: {text}", hint)


def _forget(stored: Stored) -> str:
    return f"vfioctl persist remove {stored.address}"


def _again(address: PciAddress) -> str:
    return f"vfioctl bind --persist {address}"


def find_conflicts(host: Host, persisted: Persisted) -> tuple[Conflict, ...]:
    """Return what else decides at boot about the stored devices, or takes more than those (H15)."""
    return tuple(
        conflict for foreign in persisted.foreign for conflict in _conflicts(host, persisted, foreign)
    )


def _conflicts(host: Host, persisted: Persisted, foreign: Foreign) -> Iterator[Conflict]:
    if foreign.blocks is not None and foreign.blocks in modules_of(persisted.stored):
        yield Conflict(None, foreign, f"it keeps the module {foreign.blocks} from being loaded at boot")
    meant = [one for one in persisted.stored if _is_about(foreign, one)]
    for one in meant:
        if foreign.driver != one.driver:
            whom = foreign.driver or "another driver"
            yield Conflict(one.address, foreign, f"it gives {one.address} to {whom}, not to {one.driver}")
    if meant and foreign.cards:
        kept = {one.address for one in persisted.stored}
        for device in host.devices:
            if device.address not in kept and any(card.is_like(card_of(device)) for card in foreign.cards):
                text = f"it goes by ids: it takes {device.address} as well, which is not stored"
                yield Conflict(device.address, foreign, text)


def _is_about(foreign: Foreign, stored: Stored) -> bool:
    if foreign.address is not None:
        return foreign.address == stored.address
    return any(card.is_like(stored.card) for card in foreign.cards)
