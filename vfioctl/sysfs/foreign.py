"""What other programs and people have written that decides at boot who gets a PCI device."""

from __future__ import annotations

import re
from typing import Protocol

from vfioctl.model.address import PciAddress
from vfioctl.model.persisted import RULES, Card, Foreign
from vfioctl.sysfs import root as paths
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DRIVERCTL = "/etc/driverctl.d"
_MDEVCTL = "/etc/mdevctl.d"
_MODPROBE = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")
_UDEV = ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d")

_OPTION = re.compile(r"(?<!\S)(vfio[-_]pci|pci[-_]stub)\.ids=(\S+)")
_IDS = re.compile(r"^\s*options\s+(vfio[-_]pci|pci[-_]stub)\s.*?\bids=(.*)$")
_BLACKLIST = re.compile(r"^\s*(?:blacklist|install)\s+(\S*vfio\S*)")
_CARD = re.compile(
    r"([0-9a-f]{4}):([0-9a-f]{4})(?::(f{8}|[0-9a-f]{4}))?(?::(f{8}|[0-9a-f]{4}))?", re.IGNORECASE
)
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", re.IGNORECASE)
_RULE_DRIVER = re.compile(r'driver_override\}="([^"]+)"')
_RULE_ID = re.compile(r'ATTRS?\{(vendor|device)\}=="0x([0-9a-fA-F]{4})"')


class Reads(Protocol):
    """Reads files that need not be there."""

    def text(self, path: str) -> str | None:
        """Return what a file says, or None."""

    def names(self, path: str) -> list[str]:
        """Return what a folder contains."""


def read_foreign(read: Reads) -> tuple[Foreign, ...]:
    """Return the other mechanisms in use, in the order in which they act least early: files, then rules."""
    return (*_driverctl(read), *_mdevctl(read), *_modprobe(read), *_command_line(read), *_udev(read))


def _driverctl(read: Reads) -> Iterator[Foreign]:
    for name in read.names(_DRIVERCTL):
        # Such as pci-0000:01:00.0; older ones left the bus away.
        address = PciAddress.from_name(name.removeprefix("pci-"))
        path = f"{_DRIVERCTL}/{name}"
        driver = (read.text(path) or "").strip() if address is not None else ""
        if driver:
            yield Foreign("driverctl", path, driver, driver, address)


def _mdevctl(read: Reads) -> Iterator[Foreign]:
    for parent in read.names(_MDEVCTL):
        address = PciAddress.from_name(parent)
        for uuid in read.names(f"{_MDEVCTL}/{parent}") if address is not None else ():
            path = f"{_MDEVCTL}/{parent}/{uuid}"
            yield Foreign("mdevctl", path, " ".join((read.text(path) or "").split()), address=address)


def _modprobe(read: Reads) -> Iterator[Foreign]:
    for path, line in _lines(read, _MODPROBE, ".conf"):
        if found := _IDS.match(line):
            yield Foreign("modprobe.d", path, line.strip(), _driver(found[1]), cards=_cards(found[2]))
        elif found := _BLACKLIST.match(line):
            yield Foreign("modprobe.d", path, line.strip(), blocks=found[1].replace("-", "_"))


def _command_line(read: Reads) -> Iterator[Foreign]:
    for found in _OPTION.finditer(read.text(paths.COMMAND_LINE) or ""):
        yield Foreign("cmdline", paths.COMMAND_LINE, found[0], _driver(found[1]), cards=_cards(found[2]))


def _udev(read: Reads) -> Iterator[Foreign]:
    for path, line in _lines(read, _UDEV, ".rules"):
        if "driver_override" not in line or path == RULES:
            continue
        driver, address = _RULE_DRIVER.search(line), _ADDRESS.search(line)
        ids = {name: int(number, 16) for name, number in _RULE_ID.findall(line)}
        card = Card(ids["vendor"], ids["device"], None, None) if len(ids) > 1 else None
        yield Foreign(
            "udev",
            path,
            line.strip(),
            driver[1] if driver else None,
            PciAddress.from_name(address[0]) if address else None,
            () if address or card is None else (card,),
        )


def _lines(read: Reads, folders: Iterable[str], suffix: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of files, without comments; of files of one name, only the first folder's counts."""
    seen: set[str] = set()
    for folder in folders:
        for name in read.names(folder):
            if not name.endswith(suffix) or name in seen:
                continue
            seen.add(name)
            text = (read.text(f"{folder}/{name}") or "").replace("\\\n", " ")
            for line in text.split("\n"):
                if not line.lstrip().startswith("#"):
                    yield f"{folder}/{name}", line


def _cards(text: str) -> tuple[Card, ...]:
    """Return the models of a list of ids; what stands behind a blank is not part of it (H14)."""
    found = (_CARD.match(part) for part in text.strip("\"' \t").split(" ", 1)[0].split(","))
    return tuple(Card(*(_number(part) for part in one.groups())) for one in found if one)  # type: ignore[arg-type]


def _number(text: str | None) -> int | None:
    # All ones is what the kernel takes for "any".
    return None if text is None or text.lower() == "ffffffff" else int(text, 16)


def _driver(module: str) -> str:
    return module.replace("_", "-")
