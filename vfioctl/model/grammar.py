"""How a selector is spelled: from text to terms, or to an error that names what was expected."""

from __future__ import annotations

from vfioctl.errors import UsageError
from vfioctl.model.address import PciAddress
from vfioctl.model.ids import CLASS_WORDS
from vfioctl.model.pattern import pattern
from vfioctl.model.terms import (
    TERM_KEYS,
    AddressTerm,
    BlockTerm,
    ClassTerm,
    DriverTerm,
    GroupTerm,
    IdsTerm,
    MdevTerm,
    NetTerm,
    NumaTerm,
    SlotTerm,
    UnderTerm,
    UsbTerm,
    VfsOfTerm,
)
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vfioctl.model.terms import Term

_GLOB = pattern(
    r"(?i)(?:([0-9a-f]{4,8}|\*):)?([0-9a-f]{2}|\*):([01][0-9a-f]|\*)(?:\.([0-7]|\*))?",
)
_IDS = pattern(r"(?i)([0-9a-f]{4}):([0-9a-f]{4}|\*)(?::([0-9a-f]{4}|\*):([0-9a-f]{4}|\*))?")
_INDEXES = pattern(r"([0-9]+)(?:-([0-9]+))?")
# 65,535 is the most that the 16-bit TotalVFs register can say.
_MOST_VFS = 0xFFFF
# What the kernel refuses in the name of an interface.
_NO_INTERFACE = pattern(r"[/:\s]")
_CLASS_PREFIX = pattern(r"(?:[0-9a-f]{2}){1,3}")
_UUID = pattern(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_USB = pattern(r"(?i)[0-9a-f]{4}:[0-9a-f]{4}|[0-9]+-[0-9]+(?:\.[0-9]+)*")


def parse_terms(text: str) -> tuple[Term, ...]:
    """Read the terms of one selector.

    Raises:
        UsageError: a term is not in the grammar; the message names it and the hint what was expected.

    """
    return tuple(_parse_term(term) for term in split_terms(text))


def split_terms(text: str) -> list[str]:
    """Split at commas, except inside the index list of ``vfs-of:NAME#0-3,5``."""
    terms: list[str] = []
    for piece in map(str.strip, text.split(",")):
        if terms and _INDEXES.fullmatch(piece) and terms[-1].startswith("vfs-of:") and "#" in terms[-1]:
            terms[-1] += "," + piece
        else:
            terms.append(piece)
    return terms


def _parse_term(text: str) -> Term:
    if address := PciAddress.from_name(text):
        return AddressTerm(*address)
    if glob := _GLOB.fullmatch(text):
        return _address_term(*glob.groups())
    if ids := _IDS.fullmatch(text):
        vendor, *rest = ids.groups()
        return IdsTerm(int(vendor, 16), *(_hex(part) for part in rest))
    key, colon, value = text.partition(":")
    if not colon or key not in TERM_KEYS:
        raise _unknown(text, key)
    if not value:
        raise _malformed(text, f"a value after {key}:")
    return _KEYED[key](value, text)


def _address_term(domain: str | None, bus: str, device: str, function: str | None) -> AddressTerm:
    # Without a domain it is domain 0, as lspci and the kernel's documentation have it.
    return AddressTerm(_hex(domain or "0"), _hex(bus), _hex(device), _hex(function))


def _hex(part: str | None) -> int | None:
    return None if part in {None, "*"} else int(part or "", 16)


def _class_term(value: str, text: str) -> ClassTerm:
    prefix = value.lower()
    if prefix in CLASS_WORDS:
        return ClassTerm(CLASS_WORDS[prefix])
    if _CLASS_PREFIX.fullmatch(prefix):
        return ClassTerm((prefix,))
    raise _malformed(text, f"2, 4 or 6 hex digits or one of {' '.join(CLASS_WORDS)}")


def _driver_term(value: str, _text: str) -> DriverTerm:
    return DriverTerm(None if value == "none" else value)


def _group_term(value: str, text: str) -> GroupTerm:
    return GroupTerm(_number(value, text, "an IOMMU group number, as in group:17"))


def _numa_term(value: str, text: str) -> NumaTerm:
    return NumaTerm(_number(value, text, "a NUMA node number, as in numa:0"))


def _slot_term(value: str, _text: str) -> SlotTerm:
    return SlotTerm(value)


def _under_term(value: str, text: str) -> UnderTerm:
    bridge = PciAddress.from_name(value)
    if bridge is None:
        raise _malformed(text, "the address of a bridge or root port, as in under:00:01.0")
    return UnderTerm(bridge)


def _net_term(value: str, text: str) -> NetTerm:
    if _NO_INTERFACE.search(value):
        raise _malformed(text, "the name of a network interface, as in net:enp1s0")
    return NetTerm(value)


def _block_term(value: str, text: str) -> BlockTerm:
    disk = value.removeprefix("/dev/")
    if not disk:
        raise _malformed(text, "the name of a disk, as in block:nvme0n1")
    return BlockTerm(disk)


def _vfs_of_term(value: str, text: str) -> VfsOfTerm:
    name, hash_sign, pieces = value.partition("#")
    owner = PciAddress.from_name(name)
    if owner is None and (not name or _NO_INTERFACE.search(name)):
        raise _malformed(text, "the address or interface of a physical function, as in vfs-of:65:00.0#0-3")
    indexes = frozenset(_indexes(pieces, text)) if hash_sign else None
    return VfsOfTerm(name if owner is None else owner, indexes)


def _mdev_term(value: str, text: str) -> MdevTerm:
    if not _UUID.fullmatch(value):
        raise _malformed(text, "a UUID, as in mdev:83b8f4f2-509f-382f-3c1e-e6bfe0fa1001")
    return MdevTerm(value.lower())


def _usb_term(value: str, text: str) -> UsbTerm:
    if not _USB.fullmatch(value):
        raise _malformed(text, "an id (usb:046d:c52b) or a port path (usb:1-2.5)")
    return UsbTerm(value.lower())


_KEYED: dict[str, Callable[[str, str], Term]] = {
    "class": _class_term,
    "driver": _driver_term,
    "group": _group_term,
    "numa": _numa_term,
    "slot": _slot_term,
    "under": _under_term,
    "net": _net_term,
    "block": _block_term,
    "vfs-of": _vfs_of_term,
    "mdev": _mdev_term,
    "usb": _usb_term,
}


def _indexes(pieces: str, text: str) -> Iterator[int]:
    for piece in pieces.split(","):
        found = _INDEXES.fullmatch(piece)
        if found is None:
            raise _malformed(text, "indexes as in #0-3,5")
        first = _bounded(found[1])
        last = first if found[2] is None else _bounded(found[2])
        if first > last or last > _MOST_VFS:
            raise _malformed(text, f"indexes in rising order, {_MOST_VFS} at most")
        yield from range(first, last + 1)


def _bounded(digits: str) -> int:
    """Read a number; one with more digits than any count of functions becomes just too large."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) < 10 else _MOST_VFS + 1  # noqa: PLR2004 - fits in an int


def _number(value: str, text: str, expected: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) < 10):  # noqa: PLR2004 - fits in an int
        raise _malformed(text, expected)
    return int(value)


def _malformed(text: str, expected: str) -> UsageError:
    return UsageError(f"selector {text!r} is malformed", hint=f"expected {expected}")


def _unknown(text: str, key: str) -> UsageError:
    from difflib import get_close_matches

    if text.lower() in CLASS_WORDS:
        hint = f"did you mean class:{text.lower()}?"
    elif text.isascii() and text.isdecimal():
        hint = f"did you mean group:{text}?"
    elif near := get_close_matches(key[:20].lower(), TERM_KEYS, n=1):
        hint = f"did you mean {near[0]}:...?"
    else:
        keys = " ".join(f"{key}:" for key in TERM_KEYS)
        hint = f"write an address (65:00.0), ids (10de:2204), or one of {keys}"
    return UsageError(f"unknown selector {text!r}" if text else "a selector is empty", hint=hint)
