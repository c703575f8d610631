"""How much memory a domain with host devices locks: all of it, since a device may write anywhere (X12)."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lxml import etree

    from vfioctl.libvirt.values import Device

_GIB = 1 << 30
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}


class Memory(NamedTuple):
    """A domain's memory, in bytes."""

    size: int | None
    """All of it, memory devices included; None where it is not said or cannot be read."""
    hard_limit: int | None
    """What the domain's own ``<hard_limit>`` says, which libvirt takes instead."""
    locked: bool
    viommu: bool
    """Whether the guest has an IOMMU: then each device maps all memory by itself."""


def scaled(text: str | None, unit: str | None) -> int | None:
    """Read a size with its unit as libvirt does: KiB where none is given; None where it is no size.

    ``KB`` is 1000 bytes, ``K`` and ``KiB`` are 1024, and so on to ``E``.
    """
    digits = (text or "").strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):  # noqa: PLR2004 - 64 bits
        return None
    name = "kib" if unit is None else unit.lower()
    if name in {"b", "byte", "bytes"}:
        return int(digits)
    power = _POWERS.get(name[:1])
    if power is None or name[1:] not in {"", "b", "ib"}:
        return None
    factor: int = (1000 if name[1:] == "b" else 1024) ** power
    return int(digits) * factor


def read_memory(root: etree._Element) -> Memory:
    """Read a domain's memory."""
    memory, hard_limit = root.find("memory"), root.find("memtune/hard_limit")
    sizes = [_size(memory), *(_size(node) for node in root.iterfind("devices/memory/target/size"))]
    return Memory(
        size=None if None in sizes else sum(size or 0 for size in sizes),
        hard_limit=_size(hard_limit),
        locked=root.find("memoryBacking/locked") is not None,
        viommu=root.find("devices/iommu") is not None,
    )


def memlock(memory: Memory, devices: Sequence[Device]) -> int | None:
    """Return how many bytes libvirt lets the VM lock; None where its memory is unknown.

    RAM + 1 GiB; with an IOMMU in the guest the RAM counts once per device, since libvirt 8.7 (X12). A hard
    limit takes the place of both.
    """
    if memory.hard_limit is not None:
        return memory.hard_limit
    if memory.size is None:
        return None
    return memory.size * (len(devices) if memory.viommu else 1) + _GIB


def _size(node: etree._Element | None) -> int | None:
    return None if node is None else scaled(node.text, node.get("unit"))
