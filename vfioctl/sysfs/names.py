"""Names for vendor, device and class numbers: targeted look-ups in pci.ids, never a full parse."""

from __future__ import annotations

from vfioctl.lean import cache
from vfioctl.model.pattern import pattern
from vfioctl.sysfs.root import PCI_IDS
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEVICE_END = pattern(rb"\n(?:\t?[^\t#\n])")

# Importing re would cost a scan more than all that follows, so the lines are found without it.
_DIGITS = b"0123456789abcdef"
_NEAR = 1 << 15
"""Bytes that are looked through faster than they are narrowed down."""
_SIGHT = 1 << 11
"""Bytes that most often have the line of a vendor among them."""
_PLACES = (4, 5, 3, 6, 2, 7, 1)
"""Where in a range to look for one, in eighths: a vendor of many devices may fill the middle of it."""


class Names:
    """A name database; an unknown number is an answer (None), not a failure."""

    def __init__(self, content: bytes) -> None:
        """Look up in the text of a pci.ids file."""
        # Every line is looked for with the end of the one before; a comment needs none. It saves a copy.
        self._content = content if content.startswith(b"#") else b"\n" + content
        self.vendor = cache(self._vendor)
        self.device = cache(self._device)
        self.class_name = cache(self._class_name)
        self._vendor_block = cache(self._find_vendor)
        self._class_block = cache(self._find_class)

    def _vendor(self, vendor_id: int) -> str | None:
        """Return a vendor's name."""
        return self._name(b"\n%04x  " % vendor_id, *self._vendor_block(vendor_id))

    def _device(self, vendor_id: int, device_id: int) -> str | None:
        """Return a device's name."""
        return self._name(b"\n\t%04x  " % device_id, *self._vendor_block(vendor_id))

    def subsystem(
        self,
        vendor_id: int,
        device_id: int,
        subsystem_vendor_id: int,
        subsystem_device_id: int,
    ) -> str | None:
        """Return the name of a card that uses a device."""
        start, end = self._vendor_block(vendor_id)
        at = self._content.find(b"\n\t%04x  " % device_id, start, end)
        if at < 0:
            return None
        closing = _DEVICE_END.search(self._content, at + 2, end)
        key = b"\n\t\t%04x %04x  " % (subsystem_vendor_id, subsystem_device_id)
        return self._name(key, at, closing.start() if closing else end)

    def _class_name(self, class_code: int) -> str | None:
        """Return the name of a class code's subclass, or of its base class."""
        start, end = self._class_block(class_code >> 16)
        return self._name(b"\n\t%02x  " % (class_code >> 8 & 0xFF), start, end) or self._name(
            b"\nC %02x  " % (class_code >> 16), start, end
        )

    def _find_vendor(self, vendor_id: int) -> tuple[int, int]:
        """Return where a vendor stands; they stand in order, so most of a megabyte is not looked at."""
        number, low, high = b"%04x" % vendor_id, 0, len(self._content)
        head = b"\n%s  " % number
        while high - low > _NEAR and (seen := self._vendor_between(low, high)) is not None:
            other, at = seen
            low, high = (low, at) if other > number else (at, high)
        start = self._content.find(head, low, high + len(head))
        # Not found there, it is nowhere, or the file is in no order.
        return self._block(start if start >= 0 else self._content.find(head))

    def _vendor_between(self, low: int, high: int) -> tuple[bytes, int] | None:
        """Return the number of a vendor near the middle of a range, and where its line begins."""
        for place in _PLACES:
            begin = low + (high - low) * place // 8
            lines = self._content[begin : begin + _SIGHT].split(b"\n")[:-1]
            at = begin + len(lines.pop(0)) if lines else high
            for line in lines:
                if at >= high:
                    break
                # Classes, with a capital C, stand behind all vendors.
                if line[4:6] == b"  " and line[0] not in b"\t#":
                    return (b"g" if line[:1] == b"C" else line[:4]), at
                at += len(line) + 1
        return None

    def _find_class(self, base_class: int) -> tuple[int, int]:
        # The classes stand at the end of the file, behind a megabyte of devices.
        return self._block(self._content.rfind(b"\nC %02x  " % base_class))

    def _block(self, start: int) -> tuple[int, int]:
        """Return where the lines of a vendor or base class begin and end; (-1, -1) for an unknown one.

        It ends where the next one in order begins, most often one with the same first digit.
        """
        if start < 0:
            return -1, -1
        first = _DIGITS.find(self._content[start + 1 : start + 2])
        heads = (*(b"\n%c" % digit for digit in _DIGITS[first:] if first >= 0), b"\nC ")
        ends = (self._content.find(head, start + 1) for head in heads)
        end = next((end for end in ends if end >= 0), len(self._content))
        return start, end + 1 if end < len(self._content) else end

    def _name(self, head: bytes, start: int, end: int) -> str | None:
        at = self._content.find(head, start, end) if start >= 0 else -1
        if at < 0:
            return None
        line = self._content[at + len(head) : self._content.find(b"\n", at + 1) % (len(self._content) + 1)]
        return line.decode("utf-8", "replace").strip() or None


def load_names(candidates: Sequence[str] = PCI_IDS) -> Names:
    """Open the system's database, plain or compressed, or the packaged copy where it has none."""
    for path in candidates:
        for spelling in (path, f"{path}.gz"):
            content = _content(spelling)
            if content:
                return Names(content)
    return Names(_packaged())


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as database:
            content = database.read()
    except OSError:
        return None
    return _decompressed(content) if path.endswith(".gz") else content


def _decompressed(content: bytes) -> bytes | None:
    import gzip
    import zlib

    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return None


def _packaged() -> bytes:
    import vfioctl

    return _content(f"{vfioctl.__path__[0]}/data/pci.ids.gz") or b""
