"""What is to survive a reboot, as vfioctl keeps it, and what else decides at boot."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice

FOLDER = "/etc/vfioctl/devices.d"
"""One file for each device."""

RULES = "/etc/udev/rules.d/40-vfioctl.rules"
"""The generated rules: they say at boot which driver alone may have a device."""

MODULES = "/etc/modules-load.d/vfioctl.conf"
"""The generated list of modules that are loaded at boot."""

SPLITS = "/etc/vfioctl/sriov.d"
"""One file for each device that is to have virtual functions."""

MEDIATED = "/etc/vfioctl/mdevs.d"
"""One file for each mediated device that is to be made."""

UNIT = "/etc/systemd/system/vfioctl-restore.service"
"""The generated unit that makes them at boot."""

WANTED = "/etc/systemd/system/multi-user.target.d/vfioctl-restore.conf"
"""What has systemd start the unit; a file of text, where enabling it would be a link."""


class Card(NamedTuple):
    """What tells one model from another; None where a part is not known, which then matches anything."""

    vendor_id: int
    device_id: int
    subsystem_vendor_id: int | None
    subsystem_device_id: int | None

    def is_like(self, other: Card) -> bool:
        """Tell whether the two could be the same model."""
        return all(
            mine is None or theirs is None or mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    def __str__(self) -> str:
        """Spell it as selectors do: ``10de:2204:1043:87d9``."""
        known = [number for number in self if number is not None]
        return ":".join(f"{number:04x}" for number in known)


def card_of(device: PciDevice) -> Card:
    """Return what model a device is."""
    return Card(device.vendor_id, device.device_id, device.subsystem_vendor_id, device.subsystem_device_id)


class Stored(NamedTuple):
    """One binding that is to survive a reboot. Groups have no place in it: their numbers change (K22)."""

    address: PciAddress
    driver: str
    card: Card
    class_code: int
    place: str | None
    """The way through the bridges, such as ``0000:00/01.0/00.0``; unlike bus numbers it stays the same."""


class Split(NamedTuple):
    """Virtual functions that are to be made at every boot."""

    address: PciAddress
    number: int
    bind: bool
    """Whether they are to be on vfio-pci, or on the variant made for them."""
    card: Card
    place: str | None


class Mediated(NamedTuple):
    """A mediated device that is to be made at every boot."""

    uuid: str
    address: PciAddress
    """Its parent."""
    type_id: str
    card: Card
    """The parent's."""
    place: str | None


class Foreign(NamedTuple):
    """Something that is not vfioctl's and decides at boot who gets a device."""

    mechanism: str
    """``driverctl``, ``mdevctl``, ``modprobe.d``, ``cmdline`` or ``udev``."""
    file: str
    text: str
    """The line as it stands there."""
    driver: str | None = None
    """The driver that it gives devices to; None where that is not known."""
    address: PciAddress | None = None
    cards: tuple[Card, ...] = ()
    blocks: str | None = None
    """A module that it keeps from being loaded."""


class Persisted(NamedTuple):
    """What stands in a host's files."""

    stored: tuple[Stored, ...] = ()
    rules: str | None = None
    """The text of the generated rules; None: there is no such file."""
    modules: str | None = None
    foreign: tuple[Foreign, ...] = ()
    initramfs: tuple[str, ...] = ()
    """The programs that make this host's initramfs, as far as they are installed."""
    unread: tuple[str, ...] = ()
    """Files that are there and could not be read: what they say is unknown."""
    splits: tuple[Split, ...] = ()
    mediated: tuple[Mediated, ...] = ()
    unit: str | None = None
    wanted: str | None = None

    @property
    def made(self) -> tuple[Split | Mediated, ...]:
        """What is made at every boot: parents are split before anything is made of their parts."""
        return (*self.splits, *self.mediated)
