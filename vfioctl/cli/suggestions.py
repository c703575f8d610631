"""What a TAB offers where a selector stands: a light look at the host, never a full reading."""

from __future__ import annotations

import os

from click.shell_completion import CompletionItem

from vfioctl.cli.session import Session
from vfioctl.cli.wiring import COMPLETION_VARIABLE
from vfioctl.model.ids import CLASS_WORDS
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import click

    from vfioctl.sysfs.glance import Glance
    from vfioctl.sysfs.root import HostRoot

NO_HELP = "bash_complete"
"""What bash wants: it shows no help beside a value, so that no name has to be looked up for it."""

WORDS = {
    "class": "by class: gpu, nic, nvme ... or hex digits",
    "driver": "by driver, or none",
    "group": "by IOMMU group",
    "numa": "by NUMA node",
    "slot": "by physical slot",
    "under": "everything behind a bridge",
    "net": "the device behind a network interface",
    "block": "the device behind a disk",
    "vfs-of": "virtual functions of a device",
}
"""The words a term may start with, and what each means."""


def suggest(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """Complete the last term of a selector; what stands before its comma is kept."""
    from vfioctl.errors import VfioctlError

    session = context.find_object(Session) or Session()
    before, comma, term = incomplete.rpartition(",")
    key, colon, value = term.partition(":")
    try:
        with session.opened() as root:
            found = list(_values(key, value, root) if colon and key in WORDS else _terms(term, root))
    except VfioctlError:
        # A TAB is no place for an error message.
        return []
    return [CompletionItem(before + comma + text, help=visible(help_text)) for text, help_text in found]


def _terms(term: str, root: HostRoot) -> Iterator[tuple[str, str]]:
    yield from _addresses(term, root)
    for word, meaning in WORDS.items():
        if word.startswith(term):
            yield word + ":", meaning


def _addresses(start: str, root: HostRoot) -> Iterator[tuple[str, str]]:
    """Yield addresses in the spelling that was begun, with or without the domain."""
    from vfioctl.sysfs.glance import glance

    name = _nothing if os.environ.get(COMPLETION_VARIABLE) == NO_HELP else _namer()
    for seen in glance(root):
        spellings = (seen.address, seen.address.removeprefix("0000:")) if start else (seen.address,)
        found = next((spelling for spelling in spellings if spelling.startswith(start)), None)
        if found:
            yield found, name(seen)


def _nothing(_seen: Glance) -> str:
    return ""


def _namer() -> Callable[[Glance], str]:
    """Return what looks devices' names up."""
    from vfioctl.sysfs.names import load_names

    names = load_names()

    def name(seen: Glance) -> str:
        return names.device(seen.vendor_id, seen.device_id) or names.class_name(seen.class_code) or ""

    return name


def _values(key: str, start: str, root: HostRoot) -> Iterator[tuple[str, str]]:
    if key in {"under", "vfs-of"}:
        found = _addresses(start, root)
    else:
        found = ((value, "") for value in _known(key, root) if value.startswith(start))
    for value, help_text in found:
        yield f"{key}:{value}", help_text


def _known(key: str, root: HostRoot) -> list[str]:
    if key == "class":
        return list(CLASS_WORDS)
    from vfioctl.sysfs.glance import glance_drivers, glance_groups, glance_interfaces

    if key == "driver":
        return [*glance_drivers(root), "none"]
    if key == "group":
        return [str(group) for group in glance_groups(root)]
    if key == "net":
        return list(glance_interfaces(root))
    return []
