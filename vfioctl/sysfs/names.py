"""Names for vendor, device and class numbers: targeted look-ups in pci.ids, never a full parse."""

from __future__ import annotations

from functools import cache

from vfioctl.model.pattern import pattern
from vfioctl.sysfs.root import PCI_IDS
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_VENDOR = pattern(rb"\n([0-9a-f]{4})  ")
_BLOCK_END = pattern(rb"\n[^\t#\n]")
_DEVICE_END = pattern(rb"\n(?:\t?[^\t#\n])")


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
        while low < high:
            middle = (low + high) // 2
            # A line that begins before the end of the range may reach beyond it.
            found = _VENDOR.search(self._content, middle, high + len(number) + 2)
            if found is None or found[1] > number:
                high = middle
            elif found[1] < number:
                low = found.end() - 1
            else:
                return self._block(found.start())
        # It is not there, or the file is in no order.
        return self._block(self._content.find(b"\n%s  " % number))

    def _find_class(self, base_class: int) -> tuple[int, int]:
        # The classes stand at the end of the file, behind a megabyte of devices.
        return self._block(self._content.rfind(b"\nC %02x  " % base_class))

    def _block(self, start: int) -> tuple[int, int]:
        """Return where the lines of a vendor or base class begin and end; (-1, -1) for an unknown one."""
        if start < 0:
            return -1, -1
        closing = _BLOCK_END.search(self._content, start + 1)
        return start, closing.start() + 1 if closing else len(self._content)

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
