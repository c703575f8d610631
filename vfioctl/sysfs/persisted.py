"""Read what is to survive a reboot, as vfioctl and others have written it."""

from __future__ import annotations

from vfioctl.errors import UsageError
from vfioctl.model.address import PciAddress
from vfioctl.model.persisted import (
    FOLDER,
    MEDIATED,
    MODULES,
    RULES,
    SPLITS,
    UNIT,
    WANTED,
    Card,
    Mediated,
    Persisted,
    Split,
    Stored,
)
from vfioctl.sysfs.attribute import Files
from vfioctl.sysfs.foreign import read_foreign
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    from vfioctl.sysfs.root import HostRoot

    Kind = TypeVar("Kind", bound="Stored | Split | Mediated")

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
    return Persisted(
        stored=tuple(sorted(_all(read, FOLDER, _decode), key=lambda one: one.address)),
        splits=tuple(sorted(_all(read, SPLITS, _decode_split), key=lambda one: one.address)),
        mediated=tuple(_all(read, MEDIATED, _decode_mediated)),
        unit=read.text(UNIT),
        wanted=read.text(WANTED),
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


def _all(read: Reading, folder: str, decode: Callable[[dict[str, Any]], Kind]) -> Iterator[Kind]:
    """Yield what the files of a folder say."""
    for name in read.names(folder):
        path = f"{folder}/{name}"
        if name.endswith(_SUFFIX) and (text := read.text(path)) is not None:
            yield _stored(path, text, decode)


def _stored(path: str, text: str, decode: Callable[[dict[str, Any]], Kind]) -> Kind:
    import tomllib

    try:
        stored = decode(tomllib.loads(text))
        about = stored.uuid if isinstance(stored, Mediated) else stored.address
        if path.rpartition("/")[2] != f"{about}{_SUFFIX}":
            raise ValueError(f"it is about {about}")  # noqa: TRY301 - one complaint for all
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path} is damaged: {error}", hint=f"remove it (rm {path}), then store it anew with --persist"
        ) from error
    return stored


def _decode(document: dict[str, Any]) -> Stored:
    driver = document["driver"]
    # It goes into a line of udev's, so it may not end that line.
    if not (isinstance(driver, str) and driver.isprintable() and '"' not in driver and driver):
        raise ValueError(f"{driver!r} is no driver")
    address, card = _address(document["address"]), _card(document)
    return Stored(address, driver, card, int(document["class"], 16), document.get("place"))


def _decode_split(document: dict[str, Any]) -> Split:
    number, bind = document["number"], document["bind"]
    if not (isinstance(bind, bool) and type(number) is int and 0 < number < 1 << 16):
        raise ValueError(f"{number!r} is no number of virtual functions, or {bind!r} is not true or false")
    return Split(_address(document["address"]), number, bind, _card(document), document.get("place"))


def _decode_mediated(document: dict[str, Any]) -> Mediated:
    uuid, kind = document["uuid"], document["type"]
    if not (isinstance(uuid, str) and isinstance(kind, str) and "/" not in kind):
        raise ValueError(f"{kind!r} is no type")
    return Mediated(uuid, _address(document["parent"]), kind, _card(document), document.get("place"))


def _address(text: str) -> PciAddress:
    address = PciAddress.from_name(text)
    if address is None:
        raise ValueError(f"{text!r} is no PCI address")
    return address


def _card(document: dict[str, Any]) -> Card:
    numbers = (document.get(key) for key in ("subsystem_vendor", "subsystem_device"))
    return Card(
        int(document["vendor"], 16),
        int(document["device"], 16),
        *(None if number is None else int(number, 16) for number in numbers),
    )
