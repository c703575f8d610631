"""What a user asks of devices, before it is known what they are."""

from __future__ import annotations

from vfioctl.errors import UsageError
from vfioctl.libvirt.values import Rom
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from vfioctl.libvirt.guest_slot import GuestSlot


class Settings(NamedTuple):
    """The options of one call; None where one was not given."""

    managed: bool | None = None
    driver_model: str | None = None
    iommufd: bool | None = None
    rom: str | None = None
    """The path of a file, ``off`` (the guest sees none) or ``none`` (QEMU loads none)."""
    boot: int | None = None
    alias: str | None = None
    guest_slot: GuestSlot | None = None
    acpi_index: int | None = None
    acpi_nodeset: str | None = None
    display: bool | None = None
    ramfb: bool | None = None
    teaming: str | None = None
    mac: str | None = None
    vlan: int | None = None
    trust: bool | None = None
    startup_policy: str | None = None
    guest_reset: str | None = None
    target: str | None = None

    def rom_value(self) -> Rom | None:
        """Return what is asked of the ROM."""
        match self.rom:
            case None:
                return None
            case "off":
                return Rom(bar=False)
            case "none":
                return Rom(enabled=False)
            case path:
                return Rom(file=path)


NO_SETTINGS = Settings()
"""Nothing asked."""

_PCI, _INTERFACE, _MDEV, _USB, _NVME = "pci", "interface", "mdev", "usb", "nvme"

KINDS: dict[str, frozenset[str]] = {
    "managed": frozenset({_PCI, _INTERFACE, _NVME}),
    "driver_model": frozenset({_PCI, _INTERFACE}),
    "iommufd": frozenset({_PCI, _INTERFACE}),
    "rom": frozenset({_PCI, _INTERFACE}),
    "boot": frozenset({_PCI, _INTERFACE, _USB, _NVME}),
    "alias": frozenset({_PCI, _INTERFACE, _MDEV, _USB, _NVME}),
    "guest_slot": frozenset({_PCI, _INTERFACE, _MDEV}),
    "acpi_index": frozenset({_PCI, _INTERFACE, _MDEV}),
    "acpi_nodeset": frozenset({_PCI}),
    "display": frozenset({_PCI, _MDEV}),
    "ramfb": frozenset({_PCI, _MDEV}),
    "teaming": frozenset({_PCI, _INTERFACE}),
    "mac": frozenset({_INTERFACE}),
    "vlan": frozenset({_INTERFACE}),
    "trust": frozenset({_INTERFACE}),
    "startup_policy": frozenset({_USB}),
    "guest_reset": frozenset({_USB}),
    "target": frozenset({_NVME}),
}
"""Setting to the kinds of device that have it."""

_INDIVIDUAL = ("boot", "alias", "acpi_index", "display", "ramfb", "mac", "target", "teaming")
"""What only one device of a call can have; of the functions of a card it is the first."""

_WORDS = {
    _PCI: "PCI functions",
    _INTERFACE: "virtual functions as interfaces (--interface)",
    _MDEV: "mediated devices",
    _USB: "USB devices",
    _NVME: "NVMe namespaces as disks (--nvme)",
}


def option(name: str) -> str:
    """Return the option that gives a setting."""
    return "--" + {"teaming": "teaming_persistent"}.get(name, name).replace("_", "-")


def given(settings: Settings) -> dict[str, Any]:
    """Return the settings that were given."""
    return {name: value for name, value in settings._asdict().items() if value is not None}


def check_settings(settings: Settings, kinds: Collection[str], cards: int) -> None:
    """Accept settings for devices of these kinds, which make up so many cards.

    Raises:
        UsageError: one of them is for another kind of device, or for one device and there are several.

    """
    for name in given(settings):
        if KINDS[name].isdisjoint(kinds):
            meant = " and ".join(word for kind, word in _WORDS.items() if kind in KINDS[name])
            raise UsageError(f"{option(name)} is for {meant}", hint=f"leave {option(name)} out")
        if cards > 1 and (name in _INDIVIDUAL or (name == "rom" and settings.rom not in {"off", "none"})):
            raise UsageError(
                f"{option(name)} is for one device, and these are several",
                hint=f"call it once for each, or leave {option(name)} out",
            )
    if settings.guest_slot is not None and cards > 1:
        raise UsageError(
            "--guest-slot is the place of one card, and these are several", hint="call it once for each"
        )


def for_others(settings: Settings) -> Settings:
    """Return what the other functions of a card get: all but what only the first can have."""
    rom = settings.rom if settings.rom in {"off", "none"} else None
    return settings._replace(rom=rom, **dict.fromkeys(_INDIVIDUAL))
