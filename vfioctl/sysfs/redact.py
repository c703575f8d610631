"""Take out of a snapshot what says whose machine it is: serial numbers, MAC addresses, the host's name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vfioctl.sysfs import root as paths
from vfioctl.sysfs.entries import Entry, File, Link

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_MAC = re.compile(rb"(?<![0-9a-fA-F:])(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?![0-9a-fA-F:])")
# An interface identifier made from a MAC has ff:fe in its middle, in an address of 32 digits.
_FROM_MAC = re.compile(rb"(?<![0-9a-f])([0-9a-f]{16})[0-9a-f]{6}fffe[0-9a-f]{6}(?![0-9a-f])")
_SERIAL = re.compile(rb"(?i)((?:serial|wwid|wwn|sn)(?:_short)?\s*[=:]\s*)[^\s,\0]+")
_UUID = re.compile(rb"(?<=E:ID_FS_UUID=)\S+")
_SHORTEST_NAME = 3


def redact(entries: Iterable[Entry], host_names: Collection[str]) -> list[Entry]:
    """Return the entries without serials, MACs and these host names; what is equal stays equal."""
    names = [name.encode() for name in host_names if len(name) >= _SHORTEST_NAME and name != "localhost"]
    uuids: dict[bytes, bytes] = {}
    return [_redacted(entry, names, uuids) for entry in entries]


def _redacted(entry: Entry, names: list[bytes], uuids: dict[bytes, bytes]) -> Entry:
    match entry:
        case File(path, content) if path.endswith("/config"):
            # The header has no serial number; the capability that has one is never read.
            return File(path, content)
        case File(path, content):
            return File(path, _clean(path, content, names, uuids))
        case Link(path, target):
            return Link(path, _without_names(target.encode(), names).decode())
        case _:
            return entry


def _clean(path: str, content: bytes, names: list[bytes], uuids: dict[bytes, bytes]) -> bytes:
    content = _MAC.sub(b"02:00:00:00:00:00", content)
    content = _FROM_MAC.sub(rb"\g<1>0000000000000001", content)
    content = _SERIAL.sub(rb"\g<1>redacted", content)
    content = _UUID.sub(lambda found: uuids.setdefault(found[0], b"redacted-%d" % (len(uuids) + 1)), content)
    if path == paths.MOUNTS:
        content = b"".join(_local_mount(line) for line in content.splitlines(keepends=True))
    return _without_names(content, names)


def _local_mount(line: bytes) -> bytes:
    """Hide where a network file system is mounted from: its source names another host."""
    before, dash, after = line.partition(b" - ")
    fields = after.split(b" ")
    if dash and len(fields) > 1 and (b":" in fields[1] or fields[1].startswith(b"//")):
        return before + dash + b" ".join([fields[0], b"redacted", *fields[2:]])
    return line


def _without_names(content: bytes, names: list[bytes]) -> bytes:
    for name in names:
        # device mapper doubles the dash of a name
        for spelling in (name.replace(b"-", b"--"), name):
            whole = rb"(?<![A-Za-z0-9])" + re.escape(spelling) + rb"(?![A-Za-z0-9])"
            content = re.sub(whole, b"host", content)
    return content
