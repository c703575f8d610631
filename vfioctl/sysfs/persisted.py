"""Read which bindings are to survive a reboot, as vfioctl and others have written it."""

from __future__ import annotations

from vfioctl.errors import UsageError
from vfioctl.model.address import PciAddress
from vfioctl.model.persisted import FOLDER, MODULES, RULES, Card, Persisted, Stored
from vfioctl.sysfs.attribute import Files
from vfioctl.sysfs.foreign import read_foreign
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from vfioctl.sysfs.root import HostRoot

_SUFFIX = ".toml"
_INITRAMFS = {
    "initramfs-tools": "/usr/share/initramfs-tools/hook-functions",
    "dracut": "/usr/lib/dracut/dracut-functions.sh",
    "mkinitcpio": "/usr/lib/initcpio/functions",
}
"""A file that is there where the program is installed."""


def read_persisted(root: HostRoot, *, files: Files | None = None) -> Persisted:
    """Read what is stored, the generated files, and what else decides at boot; ``files`` replaces how.

    Raises:
        UsageError: the file of a device is damaged.

    """
    read = Reading(files or Files(root))
    stored = [
        _stored(f"{FOLDER}/{name}", text)
        for name in read.names(FOLDER)
        if name.endswith(_SUFFIX) and (text := read.text(f"{FOLDER}/{name}")) is not None
    ]
    return Persisted(
        stored=tuple(sorted(stored, key=lambda one: one.address)),
        rules=read.text(RULES),
        modules=read.text(MODULES),
        foreign=read_foreign(read),
        initramfs=tuple(tool for tool, path in _INITRAMFS.items() if read.text(path) is not None),
        unread=tuple(sorted(read.unread)),
    )


class Reading:
    """Reads files that need not be there, and keeps which could not be read."""

    def __init__(self, files: Files) -> None:
        """Read through these files."""
        self._files = files
        self.unread: set[str] = set()

    def text(self, path: str) -> str | None:
        """Return what a file says; None where there is none, or it is not readable."""
        try:
            return self._files.read(path).decode("utf-8", "backslashreplace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            self.unread.add(path)
            return None

    def names(self, path: str) -> list[str]:
        """Return what a folder contains, sorted; nothing where it is not there or not readable."""
        try:
            return self._files.names(path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError:
            self.unread.add(path)
            return []


def _stored(path: str, text: str) -> Stored:
    import tomllib

    try:
        stored = _decode(tomllib.loads(text))
        if path != f"{FOLDER}/{stored.address}{_SUFFIX}":
            raise ValueError(f"it is about {stored.address}")  # noqa: TRY301 - one complaint for all
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is damaged: {error}", hint=f"remove it (rm {path}), then bind the device with --persist"
        ) from error
    return stored


def _decode(document: dict[str, Any]) -> Stored:
    address = PciAddress.from_name(document["address"])
    if address is None:
        raise ValueError(f"{document['address']!r} is no PCI address")
    driver, place = document["driver"], document.get("place")
    # It goes into a line of udev's, so it may not end that line.
    if not (isinstance(driver, str) and driver.isprintable() and '"' not in driver and driver):
        raise ValueError(f"{driver!r} is no driver")
    numbers = (document.get(key) for key in ("subsystem_vendor", "subsystem_device"))
    card = Card(
        int(document["vendor"], 16),
        int(document["device"], 16),
        *(None if number is None else int(number, 16) for number in numbers),
    )
    return Stored(address, driver, card, int(document["class"], 16), place)
