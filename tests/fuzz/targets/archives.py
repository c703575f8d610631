"""Snapshots: archives of strangers, unpacked and read as a host.

An input's first line says what it is: ``raw`` bytes, ``text`` (a dump), or a ``tar``, ``gz`` or ``zst`` whose
members are lines of kind, name, target or content; ``broken`` changes bytes of a good one: place and value.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import zstandard

from vfioctl.sysfs.archive import open_root
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fuzz.target import Run

_TREE = (
    b"d|sys/bus/pci/devices|\nd|sys/devices/pci0000:00/0000:00:01.0|\n"
    b"l|sys/bus/pci/devices/0000:00:01.0|../../../devices/pci0000:00/0000:00:01.0\n"
    b"f|sys/devices/pci0000:00/0000:00:01.0/vendor|0x8086\n"
    b'f|vfioctl-snapshot.json|{"kind": "snapshot", "schema": 1, "denied": {}}\n'
    b"h|sys/devices/pci0000:00/0000:00:01.0/device|sys/devices/pci0000:00/0000:00:01.0/vendor\n"
)
_DUMP = (
    b"# vfioctl host dump 1\n# origin: nowhere\nP: /sys/bus/pci/devices\n"
    b"L: 0000:00:01.0=../../../devices/pci0000:00/0000:00:01.0\nP: /sys/devices/pci0000:00/0000:00:01.0\n"
    b"A: vendor=0x8086\\n\nH: config=8680228c\nH+ 00*60\nD: rom=EACCES\n"
)
SEEDS = (
    b"text\n" + _DUMP,
    *(form + b"\n" + _TREE for form in (b"tar", b"gz", b"zst")),
    *(b"broken " + form + b"\n\x01\x9c5" for form in (b"tar", b"gz", b"zst")),
    *(b"raw\n" + head for head in (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"# vfioctl host dump 1\n")),
    b"tar\nl|sys/bus|../../../etc\nf|sys/bus/x|y\n",
    b"gz\nc|sys/null|\np|sys/fifo|\nf|/etc/passwd|x\nf|../x|y\n",
)
WORDS = (
    *(
        "l|",
        "f|",
        "d|",
        "h|",
        "p|",
        "c|",
        "b|",
        "../",
        "./",
        "/",
        "sys",
        "\\x00",
        "H+ ",
        "H: ",
        "A: ",
        "L: ",
        "D: ",
    ),
    *("*999999999", "vfioctl-snapshot.json", "\n", "EBLOCKED", '"denied": {"/sys": "EIO"}', "path=", "\0"),
)
_KINDS = {
    b"d": tarfile.DIRTYPE,
    b"l": tarfile.SYMTYPE,
    b"h": tarfile.LNKTYPE,
    b"p": tarfile.FIFOTYPE,
    b"c": tarfile.CHRTYPE,
    b"b": tarfile.BLKTYPE,
    b"x": tarfile.XHDTYPE,
    b"s": tarfile.GNUTYPE_SPARSE,
    b"L": tarfile.GNUTYPE_LONGNAME,
}
_PACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"tar": lambda content: content,
    b"gz": gzip.compress,
    b"zst": zstandard.ZstdCompressor().compress,
}


def prepare(place: Path) -> Run:
    """Open what was made as every command opens ``--root``."""
    import os
    import tempfile

    path = place / "snapshot"
    tempfile.tempdir = str(place)
    os.environ["TMPDIR"] = str(place)

    def run(data: bytes) -> None:
        path.write_bytes(made(data))
        with open_root(str(path)) as root:
            read_host(HostRoot(root.base, root.denied))

    return run


def made(data: bytes) -> bytes:
    """Return the file that an input describes."""
    form, _, rest = data.partition(b"\n")
    if form in _PACK:
        return _PACK[form](_tar(rest))
    if form.startswith(b"broken ") and form[7:] in _PACK:
        content = bytearray(_PACK[form[7:]](_tar(_TREE)))
        for index in range(0, len(rest) - 2, 3):
            content[int.from_bytes(rest[index : index + 2]) % len(content)] = rest[index + 2]
        return bytes(content)
    return rest


def _tar(lines: bytes) -> bytes:
    """Pack lines: what a good writer would refuse to write is written."""
    out = io.BytesIO()
    for line in filter(None, lines.split(b"\n")):
        kind, _, rest = line.partition(b"|")
        name, _, value = rest.partition(b"|")
        member = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
        member.type = _KINDS.get(kind, tarfile.REGTYPE)
        content = b""
        if member.type in {tarfile.SYMTYPE, tarfile.LNKTYPE}:
            member.linkname = value.decode("utf-8", "surrogateescape")
        elif member.type not in {tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE}:
            content, member.size = value, len(value)
        out.write(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        out.write(content.ljust(-(-len(content) // 512) * 512, b"\0"))
    return out.getvalue() + bytes(1024)
