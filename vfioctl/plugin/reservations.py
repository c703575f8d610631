"""Claims on disk: what a plugin that was killed would not learn from the kubelet.

They are not authoritative: the kubelet's list is, once it has answered. But it does not tell of an Allocate
whose pod is still being admitted, nor of what was being released.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from vfioctl.model.address import PciAddress
from vfioctl.plugin.claims import Claim, Ledger, Owner
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

FILE = "plugin-claims.json"
"""Beside the lock, gone after a reboot as all claims are."""

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_SCHEMA = 1


def boot_id() -> str:
    """Return this boot's name, since a folder may outlast a reboot; empty where there is none."""
    try:
        return Path(_BOOT_ID).read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def save(path: str, boot: str, ledger: Ledger) -> None:
    """Keep what is claimed: the file has what it had or this, whatever happens meanwhile.

    Not synced: it need not outlast a power cut, only this process.

    Raises:
        OSError: the kernel's word.

    """
    head = json.dumps({"schema": _SCHEMA, "boot_id": boot, "renewed": ledger.renewed})
    # In the way of an answer to the kubelet: of hundreds of claims one is another than before.
    text = f'{head[:-1]}, "claims": [{", ".join(_texts(ledger.claims))}]}}\n'
    draft = f"{path}.new"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, path)  # noqa: PTH105 - one call


def load(path: str, boot: str, now: float) -> Ledger:
    """Return the ledger of a plugin that starts now: with the claims of this boot, where there is a file.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read.

    """
    try:
        document = json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        return Ledger(now)
    try:
        if document["schema"] != _SCHEMA or document["boot_id"] != boot:
            return Ledger(now)
        claims = sorted(map(_decode, document["claims"]), key=lambda claim: claim.key)
        return Ledger(now, tuple(claims), renewed=_moment(document["renewed"]))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"no claims: {error}") from error


_written: dict[int, tuple[Claim, str]] = {}
"""The claims of the last time with their texts, by identity, which is told sooner than equality."""


def _texts(claims: Iterable[Claim]) -> list[str]:
    """Return the texts of claims; those that were there the last time are not written anew."""
    global _written  # noqa: PLW0603 - the memory of one process, which keeps one file
    pairs = [_written.get(id(claim)) or (claim, _encoded(claim)) for claim in claims]
    _written = {id(pair[0]): pair for pair in pairs}
    return [text for _, text in pairs]


def _encoded(claim: Claim) -> str:
    return json.dumps(
        {
            **claim._asdict(),
            "members": [str(address) for address in claim.members],
            "bound": [str(address) for address in claim.bound],
        }
    )


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
        # Whoever was at it went with the plugin: it is begun anew.
        cleaning=False,
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
