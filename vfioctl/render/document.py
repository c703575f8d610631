"""Documents: the same facts as JSON, with a schema number and stable keys."""

from __future__ import annotations

from vfioctl.model.json_text import encode
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
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
    # DEL is the one control character that JSON leaves alone. All is put together once: it may be megabytes.
    text = "".join(_pieces(document))
    return text.replace("\x7f", "\\u007f") if "\x7f" in text else text


def _pieces(document: Document) -> Iterator[str]:
    before = "{"
    for key, value in document.items():
        yield f"{before}{encode(key)}: "
        if isinstance(value, Encoded):
            yield from _lines(value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from _lines(map(encode, value))
        else:
            yield encode(value)
        before = ", "
    yield "}"


def _lines(members: Iterable[str]) -> Iterator[str]:
    before = "[\n"
    for member in members:
        yield before
        yield member
        before = ",\n"
    yield "[]" if before == "[\n" else "\n]"


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
