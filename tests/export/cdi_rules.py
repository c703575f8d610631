"""What the CDI specification demands of a document, as a table and a few rules; in our own words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSIONS: Final = ("0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0")
TOP: Final = {"cdiVersion": str, "kind": str, "annotations": dict, "devices": list, "containerEdits": dict}
DEVICE: Final = {"name": str, "annotations": dict, "containerEdits": dict}
EDITS: Final = {"env": list, "deviceNodes": list, "hooks": list, "mounts": list, "intelRdt": dict}
NODE: Final = {
    "path": str, "hostPath": str, "type": str, "major": int, "minor": int, "fileMode": int,
    "permissions": str, "uid": int, "gid": int,
}  # fmt: skip
SINCE: Final = {"annotations": "0.6.0", "intelRdt": "0.7.0", "hostPath": "0.5.0"}
"""Fields that came later than the first release in use."""

_KIND: Final = re.compile(r"[a-zA-Z0-9.-]+/[a-zA-Z][a-zA-Z0-9_-]*[a-zA-Z0-9]")
_NAME: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.:-]*[a-zA-Z0-9])?")


def faults(document: Any) -> list[str]:  # noqa: ANN401 - what JSON holds
    """Return everything that a strict reader would refuse."""
    return list(_faults(document))


def least_version(document: dict[str, Any]) -> str:
    """Return the first release that has all the fields, and allows all the names."""
    needed = [VERSIONS[0]]
    for device in document["devices"]:
        needed += ["0.5.0"] if device["name"][0].isdigit() else []
        needed += [SINCE[key] for key in device if key in SINCE]
        for node in device["containerEdits"].get("deviceNodes", []):
            needed += [SINCE[key] for key in node if key in SINCE]
    return max(needed)


def _faults(document: Any) -> Iterator[str]:  # noqa: ANN401 - as above
    yield from _fields("document", document, TOP, ("cdiVersion", "kind", "devices"))
    if document.get("cdiVersion") not in VERSIONS:
        yield "no release"
    if not _KIND.fullmatch(document.get("kind", "")):
        yield "no kind"
    if not document.get("devices"):
        yield "no devices"
    names = [device.get("name") for device in document.get("devices", [])]
    if len(set(names)) != len(names):
        yield "a name twice"
    for device in document.get("devices", []):
        yield from _fields("device", device, DEVICE, ("name", "containerEdits"))
        if not _NAME.fullmatch(device.get("name", "")):
            yield "no name"
        edits = device.get("containerEdits", {})
        yield from _fields("edits", edits, EDITS, ())
        if not edits:
            yield "a device without edits"
        for node in edits.get("deviceNodes", []):
            yield from _node(node)


def _node(node: dict[str, Any]) -> Iterator[str]:
    yield from _fields("node", node, NODE, ("path",))
    if not str(node.get("path", "")).startswith("/dev/"):
        yield "no path"
    if node.get("type", "c") not in {"b", "c", "u", "p"}:
        yield "no type"
    if not set(node.get("permissions", "rw")) <= set("rwm"):
        yield "no permissions"
    yield from (f"{key} out of range" for key in ("uid", "gid") if not 0 <= node.get(key, 0) < 1 << 32)
    if not 0 <= node.get("fileMode", 0) <= 0o777:
        yield "fileMode out of range"


def _fields(
    what: str, value: dict[str, Any], known: Mapping[str, type], needed: tuple[str, ...]
) -> Iterator[str]:
    yield from (f"{what} without {key}" for key in needed if key not in value)
    for key, member in value.items():
        if key not in known:
            yield f"{what} has an unknown {key}"
        elif not isinstance(member, known[key]) or isinstance(member, bool):
            yield f"{what} has a {key} of another type"
