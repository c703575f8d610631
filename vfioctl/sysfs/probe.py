"""What one device's folder says, as plain values that can come back from a reading process.

Nothing here takes more from the kernel than it must: ids and class come from ``modalias`` (one read, no
lock), nothing is listed that can be asked for, and ``driver_override``, whose read can block, comes last
(K55).
"""

from __future__ import annotations

from vfioctl.lean import lru_cache, partial
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs.attribute import printable
from vfioctl.sysfs.config import CONFIG_HEADER, Config, read_config
from vfioctl.sysfs.denied import BLOCKED_REASON, reason_of
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from vfioctl.sysfs.folder import OpenFolder

DRIVER_OVERRIDE = "driver_override"
MDEV_TYPES = "mdev_supported_types"
CONFIG = "config"

_NO_OVERRIDE = "(null)"
_ASLEEP = "D3cold"
_PCI_BRIDGE = 0x0604
_BRIDGE = 0x06
_DISPLAY = 0x03
_ID_FILES = ("vendor", "device", "subsystem_vendor", "subsystem_device", "class")
_MODALIAS_LENGTH = len("pci:v00008086d00001533sv00008086sd00000001bc02sc00i00")
_LAST_ID, _LAST_CLASS = 0xFFFF, 0xFFFFFF
_BARS = 6
_PAGE = 4096
# Words and numbers: room for these is taken from the interpreter's own store, for a page from the C library.
_SHORT = 256
# The kernel's IORESOURCE_UNSET: there was no room for it, so the address is none.
_UNSET = 0x20000000


class Probe(NamedTuple):
    """One device's facts; plain values only."""

    ids: tuple[int, int, int, int, int]
    """Vendor, device, subsystem vendor, subsystem device, class code."""
    driver: str | None
    unbinding: bool
    power_state: str | None
    config: tuple[int | None, bool | None, int | None, str | None, int | None]
    """Header type, alive, PCI Express port type, ACS, revision (:class:`vfioctl.sysfs.config.Config`)."""
    revision: int | None
    iommu_group: int | None
    numa_node: int | None
    reset_methods: tuple[str, ...]
    boot_vga: bool | None
    has_sriov: bool
    total_vfs: int | None
    virtual_functions: tuple[tuple[int, str], ...]
    physical_function: str | None
    bars: tuple[tuple[int, int, int, int], ...]
    express: bool
    bridge: bool
    mdev_types: tuple[tuple[str, str | None, str | None, int | None], ...]
    driver_override: str | None
    unread: tuple[tuple[str, str], ...]
    """Attribute and reason, for what exists but stays unknown."""


class Unidentified(Exception):  # noqa: N818 - it says what the device is, not what went wrong here
    """A device's ids could not be read: it is reported, and left out."""


def probe(folder: OpenFolder, skip: Collection[str] = (), *, outline: bool = False) -> Probe:
    """Read one device; ``skip`` names attributes known to block, reported as such.

    With ``outline`` only displays have BARs, as the console's framebuffer may be in one, and whether it is a
    PCI Express function is not asked.

    Raises:
        Unidentified: neither modalias nor the id files can be read.
        OSError: the folder went away.

    """
    return _Prober(folder, skip).probe(outline=outline)


# Many devices of a host are of one model.
@lru_cache(maxsize=256)
def _ids_in(modalias: bytes) -> tuple[int, int, int, int, int] | None:
    text = modalias.rstrip()
    if len(text) != _MODALIAS_LENGTH or not text.startswith(b"pci:v"):
        return None
    try:
        ids = (
            int(text[5:13], 16),
            int(text[14:22], 16),
            int(text[24:32], 16),
            int(text[34:42], 16),
            int(text[44:46] + text[48:50] + text[51:53], 16),
        )
    except ValueError:
        return None
    # Eight digits each, of which no device has more than four.
    return None if (ids[0] | ids[1] | ids[2] | ids[3]) >> 16 else ids


# Nor do words and numbers differ much: each is decoded once, and the same object from then on.
_word = lru_cache(maxsize=1024)(printable)


@lru_cache(maxsize=1024)
def _methods(text: str) -> tuple[str, ...]:
    return tuple(text.split())


class _Prober:
    """Reads attributes of one folder and keeps what could not be read."""

    def __init__(self, folder: OpenFolder, skip: Collection[str]) -> None:
        self._folder = folder
        self._read = folder.read
        self._skip = skip
        self._unread: list[tuple[str, str]] = []

    def probe(self, *, outline: bool) -> Probe:
        has = self._folder.has
        ids = self._ids()
        base_class = ids[4] >> 16
        driver = self._link("driver")
        # The vfio device stands and the driver's link is gone, which is more than that it cannot be read.
        unbinding = driver is None and has("vfio-dev") and not has("driver")
        power_state = self._text("power_state", _SHORT)
        has_sriov = has("sriov_totalvfs")
        config = self._config(base_class, power_state)
        # In the order of the fields, which is that of the reads: to name all of them takes twice as long.
        return Probe(
            ids,
            driver,
            unbinding,
            power_state,
            config[:],
            self._revision(config),
            self._group(),
            self._numa_node(),
            _methods(self._text("reset_method", _SHORT) or ""),
            self._flag("boot_vga") if base_class == _DISPLAY else None,
            has_sriov,
            self._number("sriov_totalvfs") if has_sriov else None,
            self._virtual_functions() if has_sriov else (),
            self._link("physfn") if has("physfn") else None,
            () if outline and base_class != _DISPLAY else self._bars(),
            not outline and (has("max_link_speed") or has("current_link_speed")),
            ids[4] >> 8 == _PCI_BRIDGE or (base_class == _BRIDGE and has("secondary_bus_number")),
            self._mdev_types() if has(MDEV_TYPES) else (),
            self._override(unbinding=unbinding),
            tuple(self._unread),
        )

    def _text(self, name: str, size: int = _PAGE) -> str | None:
        try:
            content = self._read(name, size)
            return _word(content) if len(content) < _SHORT else printable(content)
        except OSError as error:
            self._note(name, error)
            return None

    def _note(self, name: str, error: OSError) -> None:
        reason = reason_of(error)
        if reason is not None:
            self._unread.append((name, reason))

    def _malformed(self, name: str, text: str) -> None:
        self._unread.append((name, f"malformed: {text[:40]!r}"))

    def _number(self, name: str, base: int = 10) -> int | None:
        text = self._text(name, _SHORT)
        if text is None:
            return None
        try:
            return int(text, base)
        except ValueError:
            self._malformed(name, text)
            return None

    def _flag(self, name: str) -> bool | None:
        number = self._number(name)
        return None if number is None else bool(number)

    def _link(self, name: str) -> str | None:
        try:
            return self._folder.link(name).rsplit("/", 1)[-1]
        except OSError as error:
            self._note(name, error)
            return None

    def _ids(self) -> tuple[int, int, int, int, int]:
        try:
            ids = _ids_in(self._read("modalias", _SHORT))
        except OSError:
            ids = None
        return ids or self._ids_one_by_one()

    def _ids_one_by_one(self) -> tuple[int, int, int, int, int]:
        """Read the ids from their own files, where modalias is missing or strange (others' recordings)."""
        numbers = [self._id(name) for name in _ID_FILES]
        vendor, device, subsystem_vendor, subsystem_device, class_code = numbers
        if vendor is None or device is None or class_code is None:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self._unread)
            raise Unidentified(reasons or "it has no ids")
        return vendor, device, subsystem_vendor or 0, subsystem_device or 0, class_code

    def _id(self, name: str) -> int | None:
        number = self._number(name, 16)
        if number is not None and not 0 <= number <= (_LAST_CLASS if name == "class" else _LAST_ID):
            self._malformed(name, hex(number))
            return None
        return number

    def _revision(self, config: Config) -> int | None:
        # The header has it too, and was read anyway.
        return self._number("revision", 16) if config.revision is None else config.revision

    def _group(self) -> int | None:
        name = self._link("iommu_group")
        if name is None:
            return None
        if not name.isdecimal():
            self._malformed("iommu_group", name)
            return None
        return int(name)

    def _numa_node(self) -> int | None:
        node = self._number("numa_node")
        # The kernel's -1 means that the firmware did not say.
        return None if node is None or node < 0 else node

    def _virtual_functions(self) -> tuple[tuple[int, str], ...]:
        # Counted by their links: sriov_numvfs is read under the device's lock and can block (K55, K56).
        found = [
            (int(name[6:]), self._link(name) or "")
            for name in self._folder.names()
            if name.startswith("virtfn") and name[6:].isdecimal()
        ]
        return tuple(sorted(found))

    def _bars(self) -> tuple[tuple[int, int, int, int], ...]:
        text = self._text("resource")
        if not text:
            return ()
        bars = []
        for index, line in enumerate(text.split("\n", _BARS)[:_BARS]):
            if line.startswith("0x0000000000000000 0x0000000000000000"):
                continue
            try:
                start, end, flags = (int(number, 16) for number in line.split())
                if not flags & _UNSET:
                    bars.append((index, start, end, flags))
            except ValueError:
                self._malformed("resource", line)
        return tuple(bars)

    def _config(self, base_class: int, power_state: str | None) -> Config:
        # Reading the configuration space of a device in D3cold would wake it.
        if CONFIG in self._skip or power_state == _ASLEEP:
            if CONFIG in self._skip:
                self._unread.append((CONFIG, BLOCKED_REASON))
            return Config()
        folder = self._folder
        try:
            header = self._read(CONFIG, CONFIG_HEADER)
            config = read_config(header, partial(self._read, CONFIG), base_class)
        except OSError as error:
            self._note(CONFIG, error)
            return Config()
        if (
            config.alive
            and config.port_type is None
            and base_class == _BRIDGE
            and folder.has("max_link_speed")
        ):
            # Its port type and ACS stand behind the header, which is all that others than root get (K31).
            self._unread.append((CONFIG, f"only its first {CONFIG_HEADER} bytes can be read"))
        return config

    def _mdev_types(self) -> tuple[tuple[str, str | None, str | None, int | None], ...]:
        if MDEV_TYPES in self._skip:
            self._unread.append((MDEV_TYPES, BLOCKED_REASON))
            return ()
        try:
            types = sorted(self._folder.list(MDEV_TYPES))
        except OSError as error:
            self._note(MDEV_TYPES, error)
            return ()
        return tuple(
            (
                kind,
                self._text(f"{MDEV_TYPES}/{kind}/name"),
                self._text(f"{MDEV_TYPES}/{kind}/device_api"),
                self._number(f"{MDEV_TYPES}/{kind}/available_instances"),
            )
            for kind in types
        )

    def _override(self, *, unbinding: bool) -> str | None:
        # The driver is gone and the vfio node is not: an unbind waits for a holder under the lock that
        # this read would need (K55).
        if unbinding or DRIVER_OVERRIDE in self._skip:
            self._unread.append((DRIVER_OVERRIDE, BLOCKED_REASON))
            return None
        text = self._text(DRIVER_OVERRIDE)
        return None if text in {_NO_OVERRIDE, ""} else text
