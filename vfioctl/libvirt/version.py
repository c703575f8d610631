"""libvirt's releases: which one is installed, and which features each has.

The table is that of libvirt's own documentation ("since"), checked against the schemas of 9.0, 11.3 and 12.8.
"""

from __future__ import annotations

import re

from vfioctl.errors import HostCannotError, UsageError
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

_SPELLING = r"([0-9]{1,3})\.([0-9]{1,3})(?:\.([0-9]{1,3}))?"


class Version(NamedTuple):
    """A release of libvirt; releases sort."""

    major: int
    minor: int
    micro: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``9.0`` or ``10.6.0``.

        Raises:
            UsageError: the text is no release.

        """
        found = re.fullmatch(_SPELLING, text)
        if found is None:
            raise UsageError(
                f"not a release of libvirt: {text!r}",
                hint="write it as in 9.0 or 11.3.0 (virsh --version says which one a host has)",
            )
        return cls(int(found[1]), int(found[2]), int(found[3] or "0"))

    def __str__(self) -> str:
        """Spell it as libvirt does."""
        return f"{self.major}.{self.minor}.{self.micro}"


ASSUMED = Version(9, 0)
"""The release that output is made for where none is installed or asked for."""


class Feature(NamedTuple):
    """Something that the XML can say, and the release that understands it first."""

    text: str
    since: Version


def _feature(text: str, *since: int) -> Feature:
    return Feature(text, Version(*since))


FEATURES = {
    "pci": _feature("PCI host devices", 0, 6, 0),
    "usb": _feature("USB host devices", 0, 4, 4),
    "mdev": _feature("mediated devices", 3, 2, 0),
    "mdev-ccw": _feature("mediated devices of the kind vfio-ccw", 4, 4, 0),
    "mdev-ap": _feature("mediated devices of the kind vfio-ap", 4, 9, 0),
    "interface": _feature("interfaces of the type hostdev", 0, 9, 11),
    "nvme": _feature("disks of the type nvme", 6, 0, 0),
    "driver-model": _feature("the choice of a host driver (driver model)", 10, 0, 0),
    "iommufd": _feature("iommufd for one device", 12, 1, 0),
    "domain-iommufd": _feature("iommufd for the whole domain", 12, 2, 0),
    "rom-bar": _feature("hiding the ROM (rom bar)", 0, 9, 7),
    "rom-file": _feature("a ROM file", 0, 9, 10),
    "rom-enabled": _feature("disabling the ROM (rom enabled)", 4, 3, 0),
    "boot-pci": _feature("a boot order for PCI devices", 0, 8, 8),
    "boot-usb": _feature("a boot order for USB devices", 1, 0, 1),
    "alias": _feature("aliases of one's own (ua-...)", 3, 9, 0),
    "acpi-index": _feature("an ACPI index", 7, 3, 0),
    "acpi-nodeset": _feature("ACPI generic initiators (acpi nodeset)", 11, 8, 0),
    "unassigned": _feature("devices that the guest does not see (unassigned)", 6, 0, 0),
    "mdev-display": _feature("the display of a mediated device", 4, 6, 0),
    "mdev-ramfb": _feature("ramfb for a mediated device", 5, 10, 0),
    "pci-display": _feature("display and ramfb for a PCI device", 10, 3, 0),
    "vlan": _feature("a VLAN tag on an interface of the type hostdev", 0, 10, 0),
    "trust": _feature("trustGuestRxFilters", 1, 2, 10),
    "interface-teaming": _feature("teaming of an interface", 6, 1, 0),
    "hostdev-teaming": _feature("teaming of a plain host device", 7, 1, 0),
    "startup-policy": _feature("startupPolicy of a USB device", 1, 0, 0),
    "guest-reset": _feature("guestReset of a USB device", 8, 6, 0),
    # Neither the release notes nor the manual date it; 11.3 lacks it, 12.8 has it (X10).
    "usb-port": _feature("a USB device by its port", 12, 0, 0),
}
"""What the builders can ask for, by name."""


def needed(names: Iterable[str]) -> Version:
    """Return the first release that has every one of these features."""
    return max((FEATURES[name].since for name in names), default=Version(0, 0))


def require(names: Iterable[str], version: Version) -> None:
    """Accept what a release has.

    Raises:
        HostCannotError: it lacks a feature; the hint names the release that has all of them.

    """
    wanted = tuple(dict.fromkeys(names))
    lacking = [FEATURES[name] for name in wanted if FEATURES[name].since > version]
    if lacking:
        texts = ", ".join(f"{feature.text} (since {feature.since})" for feature in lacking)
        raise HostCannotError(
            f"libvirt {version} does not have {texts}",
            hint=f"needs libvirt {needed(wanted)} or newer: leave the option out, or say --libvirt-version"
            " if the host of the VM has it",
        )
