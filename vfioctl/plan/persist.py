"""What the files must say so that a binding survives a reboot, and whether it has.

The rules set ``driver_override``, which no host driver's probe can overrule (K9). A module that comes later
takes the device by itself (K10); one that is there already, since modules-load is not ordered against udev,
has to be told to look. Each rule names the address and the ids: a card that has taken another one's address
stays with the host.
"""

from __future__ import annotations

from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.persisted import FOLDER, MODULES, RULES, Stored, card_of
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.persisted import Card, Persisted

_HEAD = "# Written by vfioctl bind --persist; changed by vfioctl persist remove, not by hand.\n"
_TYPE1 = "vfio_iommu_type1"
_PARAMETERS = ("vendor", "device", "subsystem_vendor", "subsystem_device")


class FileChange(NamedTuple):
    """What a file is to say; None: it is to be gone."""

    path: str
    text: str | None


def place_of(host: Host, device: PciDevice) -> str | None:
    """Return the way to a device through the bridges; None where a bridge on it could not be read."""
    way = [*reversed(list(host.ancestors(device))), device]
    if way[0].parent is not None:
        return None
    first = way[0].address
    steps = (f"{one.address.device:02x}.{one.address.function:x}" for one in way)
    return f"{first.domain:04x}:{first.bus:02x}/{'/'.join(steps)}"


def stored_with(host: Host, persisted: Persisted, drivers: Mapping[PciAddress, str]) -> tuple[Stored, ...]:
    """Return what is stored once these devices of the host are to be on these drivers at every boot."""
    kept = {one.address: one for one in persisted.stored}
    for address, driver in drivers.items():
        device = host.by_address[address]
        kept[address] = Stored(address, driver, card_of(device), device.class_code, place_of(host, device))
    return tuple(kept[address] for address in sorted(kept))


def stored_without(persisted: Persisted, addresses: Iterable[PciAddress]) -> tuple[Stored, ...]:
    """Return what is stored once these devices are the kernel's to decide about again."""
    gone = set(addresses)
    return tuple(one for one in persisted.stored if one.address not in gone)


def file_changes(persisted: Persisted, wanted: Iterable[Stored]) -> tuple[FileChange, ...]:
    """Return the files that must change so that exactly this is stored, those of the devices first."""
    wanted = tuple(wanted)
    addresses = {one.address for one in wanted}
    changes = [
        FileChange(device_path(one.address), device_text(one))
        for one in wanted
        if one not in persisted.stored
    ]
    changes += [
        FileChange(device_path(one.address), None) for one in persisted.stored if one.address not in addresses
    ]
    for path, now, text in (
        (RULES, persisted.rules, rules_text(wanted)),
        (MODULES, persisted.modules, modules_text(wanted)),
    ):
        if now != text:
            changes.append(FileChange(path, text))
    return tuple(changes)


def device_path(address: PciAddress) -> str:
    """Return the file of a device."""
    return f"{FOLDER}/{address}.toml"


def device_text(stored: Stored) -> str:
    """Return what the file of a device says."""
    values = {
        "address": str(stored.address),
        "driver": stored.driver,
        **card_values(stored.card),
        "class": f"{stored.class_code:06x}",
        "place": stored.place,
    }
    return _HEAD + toml_text(values)


def card_values(card: Card) -> dict[str, str | None]:
    """Return what a file says of a card."""
    return dict(zip(_PARAMETERS, (_hex(number) for number in card), strict=True))


def toml_text(values: Mapping[str, str | int | None]) -> str:
    """Return lines of TOML; what is not known has none."""
    known = {key: value for key, value in values.items() if value is not None}
    return "".join(f"{key} = {_toml(value)}\n" for key, value in known.items())


def rules_text(wanted: Iterable[Stored]) -> str | None:
    """Return what the rules say; None where no device needs any."""
    rules = [_rule(one) for one in wanted]
    return _HEAD + "".join(rules) if rules else None


def _rule(stored: Stored) -> str:
    """Return the rule of a device, which any PCI function that appears carries out.

    A module is loaded after the rules of the function that asked for it, and then binds all that it drives:
    whichever function is first, the overrides of all stored ones must be there by then. They are set only
    while there is no driver, so that nothing changes for a device that was given back. While an unbind is
    blocked there is none either, and writing might hang (K55); VFIO's folder in it still stands then.
    """
    # Of another device than the one that appears: udev(7), "[subsystem/kernel]attribute".
    there = f"[pci/{stored.address}]"
    parts = [f'TEST!="{there}driver"', f'TEST!="{there}vfio-dev"']
    parts += [
        f'ATTR{{{there}{name}}}=="0x{_hex(number)}"'
        for name, number in zip(_PARAMETERS, stored.card, strict=True)
        if number is not None
    ]
    # In a value, udev replaces what follows these two.
    driver = stored.driver.replace("%", "%%").replace("$", "$$")
    parts += [
        f'ATTR{{{there}driver_override}}="{driver}"',
        f'ATTR{{[subsystem/pci]drivers_probe}}="{stored.address}"',
    ]
    return f'ACTION=="add", SUBSYSTEM=="pci", {", ".join(parts)}\n'


def modules_text(wanted: Iterable[Stored]) -> str | None:
    """Return which modules are loaded at boot; None where that is not for vfioctl to say."""
    modules = modules_of(wanted)
    return _HEAD + "".join(f"{module}\n" for module in modules) if modules else None


def modules_of(wanted: Iterable[Stored]) -> tuple[str, ...]:
    """Return the modules that no device's own id would load: VFIO's (K25, K52)."""
    drivers = {one.driver.replace("-", "_") for one in wanted if is_vfio_driver(one.driver)}
    return (*sorted(drivers), _TYPE1) if drivers else ()


def _hex(number: int | None) -> str | None:
    return None if number is None else f"{number:04x}"


def _toml(value: str | int) -> str:
    # A truth value is a number to Python, and a word to TOML.
    return _quoted(value) if isinstance(value, str) else str(value).lower()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
