"""Documents: the same facts as JSON, with a schema number and stable keys."""

from __future__ import annotations

from vfioctl.render.json_text import encode
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    from vfioctl.errors import VfioctlError
    from vfioctl.model.host import Host

Document: TypeAlias = "dict[str, Any]"

SCHEMA = 1
"""The number that changes when a key changes its meaning."""


class Encoded(tuple[str, ...]):
    """A list whose members are JSON already."""

    __slots__ = ()


def document_text(document: Document) -> str:
    """Encode a document on one line, except that a list of objects has one object per line."""
    members = (f"{encode(key)}: {_value_text(value)}" for key, value in document.items())
    # DEL is the one control character that JSON leaves alone.
    return f"{{{', '.join(members)}}}".replace("\x7f", "\\u007f")


def _value_text(value: object) -> str:
    if isinstance(value, Encoded):
        return _lines(value)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return _lines(map(encode, value))
    return encode(value)


def _lines(members: Iterable[str]) -> str:
    text = ",\n".join(members)
    return f"[\n{text}\n]" if text else "[]"


def document(kind: str, **members: object) -> Document:
    """Start a document with its schema number and kind."""
    return {"schema": SCHEMA, "kind": kind, **members}


def error_document(error: VfioctlError) -> Document:
    """Describe an error."""
    return document(
        "error", code=error.code, exit_code=error.exit_code, message=error.message, hint=error.hint
    )


def host_facts(host: Host) -> Document:
    """Describe a host beside its devices."""
    return {
        "kernel": host.kernel.text if host.kernel else None,
        "iommu": host.iommu,
        "groups": len(host.groups),
    }


def scan_document(host: Host, devices: Iterable[str]) -> Document:
    """Describe a host and some of its devices, which are given as JSON."""
    return document("scan", host=host_facts(host), devices=Encoded(devices), unreadable=unreadable(host))


def unreadable(host: Host) -> list[Document]:
    """List what exists but could not be read: unknown is not absent."""
    return [
        {
            "path": unread.path,
            "reason": unread.reason,
            "address": str(unread.address) if unread.address else None,
            "field": unread.field,
        }
        for unread in host.unread
    ]
