"""Claims on disk: what a plugin that was killed would not learn from the kubelet.

They are not authoritative: the kubelet's list is, once it has answered. But it does not tell of an Allocate
whose pod is still being admitted, nor of what was being released.

A line of JSON says whose file it is, and each line after it one change, in the order in which they happened.
A change is written in one call before it is answered for, and the whole anew when most lines are outdated.
It is not synced: it need not outlast a power cut, which ends all pods too, only this process.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from vfioctl.model.address import PciAddress
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.claimed import Claims
from vfioctl.plugin.claims import Claim, Ledger, Owner
from vfioctl.plugin.draft import new_file
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from vfioctl.plugin.claims import Key

FILE = "plugin-claims.json"
"""Beside the lock, gone after a reboot as all claims are."""

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_SCHEMA = 2
_SPARE = 256
"""Outdated lines that a file may have besides as many as there are claims."""


def boot_id() -> str:
    """Return this boot's name, since a folder may outlast a reboot; empty where there is none."""
    try:
        return Path(_BOOT_ID).read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


class Reservations:
    """The file, as one process writes it."""

    def __init__(self, path: str, boot: str) -> None:
        """Write nothing yet; what is there stays until the first change."""
        self.path = path
        self._boot = boot
        self._texts: dict[Key, bytes] = {}
        """The line of each claim that there is."""
        self._count = 0
        """How many lines there are in the file."""
        self._state: tuple[int, int, int] | None = None
        """Device, inode and size of the file as it was left; None while it is not ours or not whole."""

    def keep(self, before: Ledger, now: Ledger) -> None:
        """Keep what changed: the file tells of it when this returns, or else has what it had before.

        Raises:
            OSError: the kernel's word.

        """
        lines = self._changes(before, now)
        if now.renewed != before.renewed:
            lines.append(_line(renewed=now.renewed))
        if self._state is None:
            self._texts = {claim.key: _line(claim=_told(claim)) for claim in now.claims}
        if self._state is None or (lines and not self._appended(lines)):
            self._write_all(now.renewed)

    def _changes(self, before: Ledger, now: Ledger) -> list[bytes]:
        lines = []
        for key, claim in now.claims.since(before.claims):
            text = _line(gone=key) if claim is None else _line(claim=_told(claim))
            if claim is None:
                self._texts.pop(key, None)
            elif text == self._texts.get(key):
                continue  # Nothing of it changed that is kept.
            else:
                self._texts[key] = text
            lines.append(text)
        return lines

    def _appended(self, lines: list[bytes]) -> bool:
        """Add lines to the file, all or none; False where it has to be written anew."""
        if self._count + len(lines) > 2 * len(self._texts) + _SPARE:
            return False
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            return self._state == _state(file) and self._added(file, b"".join(lines), len(lines))
        except OSError:
            return False
        finally:
            os.close(file)

    def _added(self, file: int, data: bytes, count: int) -> bool:
        device, inode, size = self._state or _state(file)
        if os.write(file, data) < len(data):
            # A full disk. Half a line would end what is read of the file, and nobody was told of it yet.
            os.ftruncate(file, size)
            return False
        self._state = device, inode, size + len(data)
        self._count += count
        return True

    def _write_all(self, renewed: float | None) -> None:
        """Put another file in its place, which has everything."""
        self._state = None
        draft = f"{self.path}.new"
        file = new_file(draft)
        try:
            head = _line(schema=_SCHEMA, boot_id=self._boot, renewed=renewed)
            view = memoryview(b"".join((head, *self._texts.values())))
            while view:
                view = view[os.write(file, view) :]
            os.replace(draft, self.path)  # noqa: PTH105 - one call
            self._state, self._count = _state(file), len(self._texts)
        finally:
            os.close(file)


def _state(file: int) -> tuple[int, int, int]:
    status = os.fstat(file)
    return status.st_dev, status.st_ino, status.st_size


class Kept(NamedTuple):
    """What a file told."""

    ledger: Ledger
    damage: str | None = None
    """Why not all of it could be read."""


def load(path: str, boot: str, now: float) -> Kept:
    """Return the ledger of a plugin that starts now: with the claims of this boot, where there is a file.

    A line that cannot be read ends it: a plugin that was killed while it wrote leaves one, which it has not
    answered for.

    Raises:
        ValueError: there is no telling whose file it is.
        OSError: it cannot be read.

    """
    try:
        head, *lines = Path(path).read_bytes().split(b"\n")
    except FileNotFoundError:
        return Kept(Ledger(now))
    try:
        document = json.loads(head)
        if document["schema"] != _SCHEMA or document["boot_id"] != boot:
            return Kept(Ledger(now))
        renewed = _moment(document["renewed"])
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no claims: {error}") from error
    return _replayed(lines, Ledger(now, renewed=renewed))


def _replayed(lines: list[bytes], ledger: Ledger) -> Kept:
    claims: dict[Key, Claim] = {}
    damage = None
    # What follows the last end of a line is a line without one, or nothing.
    *whole, torn = lines or [b"all of it"]
    for number, line in enumerate(whole, 2):
        try:
            ledger = _changed(ledger, claims, json.loads(line))
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
            damage = f"line {number} cannot be read ({error})"
            break
    if torn and damage is None:
        damage = "the last line is torn"
    return Kept(ledger._replace(claims=Claims(claims.values())), damage)


def _changed(ledger: Ledger, claims: dict[Key, Claim], change: object) -> Ledger:
    match change:
        case {"claim": dict() as told}:
            claim = _decode(told)
            claims[claim.key] = claim
        case {"gone": [str() as resource, str() as item]}:
            claims.pop((resource, item), None)
        case {"renewed": float() | int() | None as when}:
            return ledger._replace(renewed=_moment(when))
        case _:
            raise ValueError(f"no change: {change!r}")
    return ledger


def _line(**members: object) -> bytes:
    return json.dumps(members).encode() + b"\n"


def _told(claim: Claim) -> dict[str, object]:
    return {
        **claim._asdict(),
        "members": [str(address) for address in claim.members],
        # Whoever is at it goes with the plugin: it is begun anew.
        "cleaning": False,
        "bound": [str(address) for address in claim.bound],
    }


def _decode(written: dict[str, Any]) -> Claim:
    return Claim(
        resource=str(written["resource"]),
        id=str(written["id"]),
        groups=tuple(map(int, written["groups"])),
        members=_addresses(written["members"]),
        since=float(written["since"]),
        owner=_owner(written["owner"]),
        former=_owner(written["former"]),
        absent=_moment(written["absent"]),
        bound=_addresses(written["bound"]),
    )


def _moment(written: float | None) -> float | None:
    return None if written is None else float(written)


def _owner(written: list[str] | None) -> Owner | None:
    return None if written is None else Owner(*map(str, written))


def _addresses(written: list[str]) -> tuple[PciAddress, ...]:
    found = tuple(map(PciAddress.from_name, written))
    if None in found:
        raise ValueError(f"no addresses: {written}")
    return tuple(address for address in found if address is not None)
