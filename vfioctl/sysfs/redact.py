"""Take out of a snapshot what says whose machine it is: serial numbers, MAC addresses, the host's name."""

from __future__ import annotations

import re

from vfioctl.sysfs import root as paths
from vfioctl.sysfs.entries import Denied, Directory, Entry, File, Link
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# Six bytes, or the eight of an EUI-64 as InfiniBand and FireWire have it.
_MAC = re.compile(
    rb"(?i)(?<![0-9a-f:])(?:[0-9a-f]{2}:){5}(?:[0-9a-f]{2}:[0-9a-f]{2}:)?[0-9a-f]{2}(?![0-9a-f:])"
)
_NO_MAC = b"02:00:00:00:00:00"
# An interface identifier made from a MAC has ff:fe in its middle, in an address of 32 digits.
_FROM_MAC = re.compile(rb"(?<![0-9a-f])([0-9a-f]{16})[0-9a-f]{6}fffe[0-9a-f]{6}(?![0-9a-f])")
# systemd names an interface after its MAC where it knows nothing better: enx525400123456.
_NAMED_AFTER_MAC = re.compile(rb"(?<![0-9A-Za-z])(en|ib|sl|wl|ww)x([0-9a-f]{12})(?![0-9a-f])")
_SERIAL = re.compile(rb"(?i)(?<![a-z])((?:serial|wwid|wwn|sn)(?:_short)?\s*[=:]\s*)[^\s,\0]+")
_UUID = re.compile(rb"(?<=E:ID_FS_UUID=)\S+")
# The kernel names a mounted btrfs after that id.
_BTRFS = re.compile(rb"(?<=^/sys/fs/btrfs/)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=/|$)")
_SHORTEST_NAME = 3

# Where people write the name of their machine: volume groups, pools, labels, mount points, virtual machines.
_NAMING = re.compile(
    rf"{re.escape(paths.MOUNTS)}|{re.escape(paths.SWAPS)}|{re.escape(paths.HOST_NAME)}"
    rf"|{re.escape(paths.UDEV_DATA)}/.+|/proc/\d+/(?:comm|cmdline)|/sys/.+/dm/name|/sys/.+/input\d+/name"
)
# A host with an ordinary word for a name cannot be told by it, and these files would lose their sense.
_ORDINARY = frozenset(
    {
        *("bin", "boot", "dev", "etc", "home", "lib", "media", "mnt", "opt", "proc", "root", "run", "srv"),
        *("sys", "tmp", "usr", "var", "disk", "mapper", "pts", "shm", "sda", "vda", "nvme", "vfio"),
        *("btrfs", "ext2", "ext3", "ext4", "nfs", "nfs4", "vfat", "xfs", "zfs", "fuse", "tmpfs", "sysfs"),
        *("cgroup", "cgroup2", "devpts", "devtmpfs", "none", "partition", "swap", "pool", "relatime"),
        *("guest", "host", "localdomain", "localhost", "name", "qemu", "server", "shared"),
    }
)


def redact(entries: Iterable[Entry], host_names: Collection[str]) -> list[Entry]:
    """Return the entries without serials, MACs and these host names; what is equal stays equal."""
    return _Redaction(host_names).applied(entries)


class _Redaction:
    """What stands for what, the same throughout one snapshot."""

    def __init__(self, host_names: Collection[str]) -> None:
        # A machine is known by its full name and by the first part of it; device mapper doubles a dash.
        names = {part for name in host_names for part in (name, name.partition(".")[0])}
        known = {name for name in names if len(name) >= _SHORTEST_NAME and name.lower() not in _ORDINARY}
        spelled = sorted({*known, *(name.replace("-", "--") for name in known)}, key=len, reverse=True)
        either = b"|".join(re.escape(name.encode()) for name in spelled)
        self._names = re.compile(rb"(?i)(?<![0-9a-z])(?:%s)(?![0-9a-z])" % either) if spelled else None
        self._uuids: dict[bytes, bytes] = {}
        self._interfaces: dict[bytes, bytes] = {}

    def applied(self, entries: Iterable[Entry]) -> list[Entry]:
        redacted = [self._entry(entry) for entry in entries]
        # What is renamed may have another place among its neighbours.
        renamed = self._interfaces or self._uuids
        return sorted(redacted, key=lambda entry: entry.path) if renamed else redacted

    def _entry(self, entry: Entry) -> Entry:
        path = _BTRFS.sub(self._file_system, self._renamed(entry.path.encode())).decode()
        match entry:
            case File(content=content) if path.endswith("/config"):
                # The header has no serial number; the capability that has one is never read.
                return File(path, content)
            case File(content=content):
                return File(path, self._content(path, content))
            case Link(target=target):
                return Link(path, self._renamed(target.encode()).decode())
            case Directory():
                return Directory(path)
            case Denied(errno=errno):
                return Denied(path, errno)

    def _content(self, path: str, content: bytes) -> bytes:
        content = self._renamed(content)
        content = _MAC.sub(_NO_MAC, content)
        content = _FROM_MAC.sub(rb"\g<1>0000000000000001", content)
        content = _SERIAL.sub(rb"\g<1>redacted", content)
        content = _UUID.sub(self._file_system, content)
        if path == paths.MOUNTS:
            content = b"\n".join(_local_mount(line) for line in content.split(b"\n"))
        if self._names is not None and _NAMING.fullmatch(path):
            content = self._names.sub(b"host", content)
        return content

    def _file_system(self, found: re.Match[bytes]) -> bytes:
        """Give file systems a number each, so that their members still belong together."""
        return _numbered(self._uuids, found[0], b"redacted-%d")

    def _renamed(self, text: bytes) -> bytes:
        """Name interfaces after a number where they are named after their MAC."""
        return _NAMED_AFTER_MAC.sub(
            lambda found: found[1] + b"x" + _numbered(self._interfaces, found[2], b"02%010x"), text
        )


def _numbered(known: dict[bytes, bytes], text: bytes, form: bytes) -> bytes:
    """Return what stands for a text; what was put there before stands for itself."""
    if text in known.values():
        return text
    return known.setdefault(text, form % (len(known) + 1))


def _local_mount(line: bytes) -> bytes:
    """Hide where a network file system is mounted from: source and options name other hosts and users."""
    before, dash, after = line.partition(b" - ")
    fields = after.split(b" ")
    if not dash or len(fields) < 2 or fields[1].startswith(b"/dev/"):  # noqa: PLR2004 - kind and source
        return line
    if b":" in fields[1] or fields[1].startswith(b"//"):
        return b" ".join([before + dash.rstrip(), fields[0], b"redacted", b"rw"])
    return line
