"""Make a snapshot: exactly what the reader reads, by recording its reads.

Because the reader itself is recorded, reading the snapshot gives the same host again. Beside that only the
id files are kept which other tools (lspci) need to read the same tree.
"""

from __future__ import annotations

import re

from vfioctl.sysfs import root as paths
from vfioctl.sysfs.attribute import Attributes
from vfioctl.sysfs.busy import NVIDIA_MINOR
from vfioctl.sysfs.denied import BLOCKED, BLOCKED_REASON
from vfioctl.sysfs.display import FIRMWARE_FRAMEBUFFERS
from vfioctl.sysfs.drivers import is_module_list, read_drivers, reduced_list
from vfioctl.sysfs.entries import Denied, Entry, File, Link
from vfioctl.sysfs.facts import endpoints, facts_entry
from vfioctl.sysfs.facts_record import reduced
from vfioctl.sysfs.holders import OPEN_NODE, vm_name
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.recording import RecordingFiles
from vfioctl.sysfs.sriov import read_splittings
from vfioctl.sysfs.usb import read_usb
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vfioctl.model.host import Host
    from vfioctl.sysfs.root import HostRoot

_COMMAND = re.compile(r"/proc/\d+/cmdline")
_OPEN_FILE = re.compile(r"(/proc/\d+)/fd/\d+")
_OPEN_FILES = re.compile(r"(/proc/\d+)/fd(?:/\d+)?")
_PROCESS = re.compile(r"(/proc/\d+)(?:/.*)?")
_UDEV_KEYS = (b"E:ID_FS_TYPE=", b"E:ID_FS_LABEL=", b"E:ID_FS_UUID=")


def capture(root: HostRoot) -> tuple[Host, list[Entry]]:
    """Read a host and return it with everything that was read, ready to be written."""
    recording = RecordingFiles(root)
    host = read_host(root, files=recording)
    # No part of a host as commands list it, but named by some: by libvirt-xml.
    read_usb(Attributes(recording))
    # Nor is this, but bind plans with it.
    read_drivers(root, files=recording)
    # And this, but sriov shows it and plans with it.
    read_splittings(root, host, files=recording)
    # Nor these, which doctor judges; what copies cannot say is listed beside them.
    record = facts_entry(root, host, endpoints(host), recording)
    entries = recording.entries()
    if record is not None:
        entries[record.path] = record
    for unread in host.unread:
        if unread.reason == BLOCKED_REASON:
            entries[unread.path] = Denied(unread.path, BLOCKED)
    return host, sorted(_trimmed(_reachable(entries)), key=lambda entry: entry.path)


def _reachable(entries: Mapping[str, Entry]) -> Iterator[Entry]:
    """Yield all but what lies below something that could not be read, where it has no place to be."""
    refused = {path for path, entry in entries.items() if isinstance(entry, Denied)}
    for path, entry in entries.items():
        parent = path.rpartition("/")[0] if refused else ""
        while parent and parent not in refused:
            parent = parent.rpartition("/")[0]
        if not parent:
            yield entry


def _trimmed(entries: Iterable[Entry]) -> list[Entry]:
    """Drop what the reader looks at but does not use: other programs' files, arguments, properties."""
    entries = list(entries)
    holders = {
        found[1]
        for entry in entries
        if isinstance(entry, Link)
        and (found := _OPEN_FILE.fullmatch(entry.path))
        and OPEN_NODE.fullmatch(entry.target)
    }
    # Which processes there are is of no interest: one refusal stands for all.
    refused = {
        found[1]: entry
        for entry in entries
        if isinstance(entry, Denied) and (found := _OPEN_FILES.fullmatch(entry.path))
    }
    holders -= refused.keys()
    kept: list[Entry] = []
    kept.extend([*refused.values()][:1])
    for entry in entries:
        process = _PROCESS.fullmatch(entry.path)
        if process is None or (process[1] in holders and not _is_other_file(entry)):
            kept.append(_without_surplus(entry))
    return kept


def _is_other_file(entry: Entry) -> bool:
    return isinstance(entry, Link) and not OPEN_NODE.fullmatch(entry.target)


def _without_surplus(entry: Entry) -> Entry:
    match entry:
        case File(path, content):
            return File(path, _needed(path, content))
        case Link(path, target) if target.startswith("/"):
            # An absolute target would lead out of the snapshot.
            return Link(path, "../" * (path.count("/") - 1) + target[1:])
        case _:
            return entry


def _needed(path: str, content: bytes) -> bytes:
    """Return of a file's content what the reader uses."""
    if path.startswith("/sys/"):
        return content
    if _COMMAND.fullmatch(path):
        content = _command(content)
    elif path.startswith(f"{paths.UDEV_DATA}/"):
        content = _joined(line for line in content.split(b"\n") if line.startswith(_UDEV_KEYS))
    elif path.startswith(f"{paths.NVIDIA_GPUS}/"):
        content = _joined(found[0] for found in NVIDIA_MINOR.finditer(content))
    elif path == paths.IO_MEMORY:
        content = _framebuffer_lines(content)
    elif is_module_list(path):
        content = reduced_list(path, content)
    else:
        used = reduced(path, content)
        content = content if used is None else used
    return content


def _joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _framebuffer_lines(content: bytes) -> bytes:
    """Keep of the memory map what the console can be found by."""
    names = tuple(name.encode() for name in FIRMWARE_FRAMEBUFFERS)
    return _joined(line for line in content.splitlines() if line.endswith(names))


def _command(content: bytes) -> bytes:
    """Keep of a command line the program and the VM's name: arguments may hold secrets."""
    arguments = content.decode("utf-8", "backslashreplace").split("\0")
    name = vm_name(arguments)
    kept = [arguments[0], *(["-name", f"guest={name}"] if name else [])]
    return "\0".join([*kept, ""]).encode()
