"""What a snapshot keeps for a checkup: the lines a check uses, and what copies of files cannot say."""

from __future__ import annotations

import re

from vfioctl.model import paths
from vfioctl.model.facts import Stamp
from vfioctl.model.kernel_words import interrupt_chip, kernel_words
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RECORD = "/run/vfioctl/facts"
"""Where a snapshot lists what was looked for and was not there, with owners, modes and dates."""

NOT_RECORDED = "this snapshot does not have it"
"""Why a fact of a snapshot is unknown."""

_HEADER = "vfioctl facts 1"
_MODPROBE = re.compile(r"\s*(?:options\s+(?:vfio|kvm|pci)|softdep|blacklist|install)\b")
_OTHER_INSTALL = re.compile(r"\s*install\s+(?!vfio)(\S+)\s.*")
_STAMP = re.compile(
    r"(?P<uid>[0-9]{1,10}) (?P<gid>[0-9]{1,10}) (?P<mode>[0-7]{1,4}) (?P<changed>[0-9]{1,12})"
    r" (?P<acl>\S+) (?P<path>/.*)"
)
_MEMLOCK = re.compile(r"memlock|LimitMEMLOCK", re.IGNORECASE)
_ASSIGNED = re.compile(r"\s*(GRUB_CMDLINE_LINUX[A-Z_]*)\s*\+?=\s*(.*)")
_BOOTED = re.compile(r"\s*(linux(?:16|efi)?\s+\S+|options)\s+(.*)")
_MEMORY = re.compile(r"(?:MemTotal|HugePages_(?:Total|Free)|Hugepagesize):.*")
_MODULES = re.compile(r"\s*(?:\w*drivers|MODULES)\+?=.*")


class Record(NamedTuple):
    """What was looked for and was not there, and what copies do not keep."""

    absent: frozenset[str]
    stamps: Mapping[str, Stamp]


def encode(record: Record) -> bytes:
    """Write a record as text."""
    lines = [f"absent {path}" for path in sorted(record.absent)]
    for path, one in sorted(record.stamps.items()):
        acl = "acl" if one.acl else "-"
        lines.append(f"stamp {one.uid} {one.gid} {one.mode:o} {one.changed} {acl} {path}")
    return "".join(f"{line}\n" for line in (_HEADER, *lines)).encode("utf-8", "backslashreplace")


def decode(text: str | None) -> Record | None:
    """Read a record; None where a snapshot has none, or one that a stranger wrote."""
    lines = (text or "").split("\n")
    if lines[0] != _HEADER:
        return None
    absent, stamps = set(), {}
    for line in lines[1:]:
        word, _, rest = line.partition(" ")
        if word == "absent":
            absent.add(rest)
            continue
        if found := _STAMP.fullmatch(rest):
            uid, gid, changed = (int(found[name]) for name in ("uid", "gid", "changed"))
            stamps[found["path"]] = Stamp(uid, gid, int(found["mode"], 8), changed, found["acl"] == "acl")
    return Record(frozenset(absent), stamps)


def reduced(path: str, content: bytes) -> bytes | None:
    """Return what a check uses of a file; None where it is no file of a checkup.

    Command lines and configurations may hold passwords: only words and lines of known meaning are kept.
    """
    keep = _keeper(path)
    if keep is None:
        return None
    # A backslash at its end makes a line go on, in modprobe.d as in a shell.
    lines = content.decode("utf-8", "backslashreplace").replace("\\\n", " ").split("\n")
    kept = dict.fromkeys(one for line in lines if (one := keep(line)))
    return "".join(f"{line}\n" for line in kept).encode()


def _keeper(path: str) -> Callable[[str], str] | None:
    """Return what reduces a line of a file."""
    return next((keep for start, keep in _KEEPERS if path.startswith(start)), None)


def _command_line(line: str) -> str:
    return " ".join(kernel_words(line))


def _directive(line: str) -> str:
    return _OTHER_INSTALL.sub(r"install \1", line) if _MODPROBE.match(line) else ""


def _matching(form: re.Pattern[str]) -> Callable[[str], str]:
    return lambda line: line if form.search(line) else ""


def _chip_line(line: str) -> str:
    chip = interrupt_chip(line)
    return f"0: {chip}" if chip else ""


def _boot_line(line: str) -> str:
    if found := _ASSIGNED.fullmatch(line):
        return f'{found[1]}="{" ".join(kernel_words(found[2]))}"'
    if found := _BOOTED.fullmatch(line):
        return " ".join((found[1], *kernel_words(found[2])))
    return ""


_KEEPERS: tuple[tuple[tuple[str, ...], Callable[[str], str]], ...] = (
    ((paths.COMMAND_LINE, paths.KERNEL_COMMAND_LINE), _command_line),
    ((*paths.GRUB_GENERATED, paths.GRUB_DEFAULT, paths.GRUB_DEFAULTS, paths.BOOT_ENTRIES), _boot_line),
    (tuple(f"{folder}/" for folder in paths.MODPROBE), _directive),
    ((paths.LIMITS, paths.LIMITS_FOLDER, *paths.UNITS), _matching(_MEMLOCK)),
    ((paths.DRACUT_FILE, *paths.DRACUT, paths.MKINITCPIO), _matching(_MODULES)),
    ((paths.INTERRUPTS,), _chip_line),
    ((paths.MEMORY,), _matching(_MEMORY)),
)
"""How the lines of files are reduced, by what their paths begin with."""
