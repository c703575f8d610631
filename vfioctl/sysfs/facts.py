"""Read what a checkup asks about beside the host itself: boot files, limits, nodes, error counters.

Nothing here is read by a scan. A file that a snapshot does not have may never have been looked for, so a
snapshot says in a list of its own (`RECORD`) what was looked for and was not there, and keeps the owners,
modes and dates that its copies cannot have.
"""

from __future__ import annotations

import errno
import os
import stat

from vfioctl.model import paths
from vfioctl.model.device import VirtualFunction
from vfioctl.model.facts import Fact, Facts, Stamp
from vfioctl.sysfs.attribute import Attributes, Files, printable
from vfioctl.sysfs.denied import reason_of
from vfioctl.sysfs.entries import File
from vfioctl.sysfs.facts_record import NOT_RECORDED, RECORD, Record, decode, encode
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.sysfs.entries import Entry
    from vfioctl.sysfs.root import HostRoot

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO})
_IMAGES = ("initrd", "initramfs", "booster")


def read_facts(
    root: HostRoot,
    host: Host,
    devices: Iterable[PciDevice] = (),
    *,
    files: Files | None = None,
    pause: Callable[[], None] | None = None,
) -> Facts:
    """Read the facts of a host, and of some of its devices; nothing raises, what fails is in doubt.

    With a pause the error counters are read again after it.
    """
    reading = Reading(root, files or Files(root))
    reading.host(host)
    wanted = tuple(devices)
    for device in wanted:
        reading.device(device)
    again = {}
    if pause is not None:
        pause()
        second = Reading(root, Files(root))
        for device in wanted:
            second.device(device)
        again = second.known
    return Facts(reading.known, reading.stamps, reading.places, again)


def facts_entry(root: HostRoot, host: Host, devices: Iterable[PciDevice], files: Files) -> Entry | None:
    """Read the facts for a snapshot, and return the list that it needs beside the files, if any."""
    reading = Reading(root, files)
    reading.host(host)
    for device in devices:
        reading.device(device)
    record = reading.record()
    return None if record is None else File(RECORD, encode(record))


def endpoints(host: Host) -> tuple[PciDevice, ...]:
    """Return the devices that a snapshot keeps the facts of: no bridges and no idle virtual functions."""
    return tuple(
        device
        for device in host.devices
        if device.on_vfio or not (device.is_bridge or isinstance(device.sriov, VirtualFunction))
    )


def _ends_with(ending: str) -> Callable[[str], bool]:
    return lambda name: name.endswith(ending)


class Reading:
    """Reads files and folders and keeps what each said."""

    def __init__(self, root: HostRoot, files: Files) -> None:
        """Read below a root."""
        self.known: dict[str, Fact] = {}
        self.stamps: dict[str, Stamp] = {}
        self.places: dict[PciAddress, str] = {}
        self._root = root
        self._files = files
        self._attributes = Attributes(files)
        self._recorded = None if root.live else decode(self._record_text(root))
        self._absent: set[str] = set()

    def host(self, host: Host) -> None:
        """Read what is not about one device."""
        for path in paths.FILES:
            self._file(path)
        for path, ending in paths.FOLDERS.items():
            self._folder(path, _ends_with(ending))
        for path in paths.FOLDERS.keys() - paths.LISTED_ONLY:
            for name in self.known[path].lines:
                self._file(f"{path}/{name}")
                self._stamp(f"{path}/{name}")
        self._units()
        release = host.kernel.text if host.kernel else None
        self._folder(paths.BOOT, lambda name: name.startswith(_IMAGES) and (release or "") in name)
        for name in self.known[paths.BOOT].lines:
            self._stamp(f"{paths.BOOT}/{name}")
        self._nodes(host)

    def device(self, device: PciDevice) -> None:
        """Read what no scan reads of a device."""
        place = self._attributes.target(f"{paths.PCI_DEVICES}/{device.address}")
        if place is None:
            return
        self.places[device.address] = place
        for name in paths.DEVICE_FILES:
            self._file(f"{place}/{name}")
        self._presence(f"{place}/{paths.RESET}")

    def record(self) -> Record | None:
        """Return what a snapshot must say of these reads; None where it is made of one that says nothing."""
        if self._recorded is None:
            return Record(frozenset(self._absent), self.stamps) if self._root.live else None
        return self._recorded

    def _record_text(self, root: HostRoot) -> str | None:
        try:
            return printable(Files(root).read(RECORD))
        except OSError:
            return None

    def _units(self) -> None:
        for name in self.known[paths.IOMMU_UNITS].lines:
            place = self._attributes.target(f"{paths.IOMMU_UNITS}/{name}")
            if place is not None:
                path = f"{place}/intel-iommu/ecap"
                self._file(path)
                self.known[f"{paths.IOMMU_UNITS}/{name}/intel-iommu/ecap"] = self.known[path]

    def _nodes(self, host: Host) -> None:
        nodes = {paths.VFIO_NODE}
        for device in host.devices:
            nodes.update(filter(None, (device.vfio_group_node, device.vfio_cdev)))
        for node in sorted(nodes):
            self._stamp(node)

    def _file(self, path: str) -> None:
        self.known[path] = self._told(path, lambda: printable(self._files.read(path)))

    def _folder(self, path: str, keep: Callable[[str], bool]) -> None:
        self.known[path] = self._told(path, lambda: "\n".join(self._files.names(path, keep)))

    def _presence(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        self.known[path] = self._told(path, lambda: self._there(folder, name))

    def _there(self, folder: str, name: str) -> str:
        if not self._files.names(folder, name.__eq__):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return "there"

    def _told(self, path: str, read: Callable[[], str]) -> Fact:
        try:
            return Fact(path, read())
        except OSError as error:
            if error.errno not in _MISSING:
                return Fact(path, None, reason_of(error) or "it cannot be read")
        if not self._root.live and not self._is_known_absent(path):
            return Fact(path, None, NOT_RECORDED)
        self._absent.add(path)
        return Fact(path, None)

    def _is_known_absent(self, path: str) -> bool:
        return self._recorded is not None and path in self._recorded.absent

    def _stamp(self, path: str) -> None:
        if not self._root.live:
            if self._recorded is not None and path in self._recorded.stamps:
                self.stamps[path] = self._recorded.stamps[path]
            return
        try:
            found = os.stat(path)
            acl = "system.posix_acl_access" in os.listxattr(path)
        except OSError:
            return
        mode = stat.S_IMODE(found.st_mode)
        self.stamps[path] = Stamp(found.st_uid, found.st_gid, mode, int(found.st_mtime), acl)
