"""What differs between two readings of a host."""

from __future__ import annotations

from vfioctl.lean import StrEnum
from vfioctl.model.address import PciAddress
from vfioctl.model.value import NamedTuple
from vfioctl.render.device_document import device_document
from vfioctl.render.document import document, host_facts
from vfioctl.render.fields import field
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, TypeAlias

    from vfioctl.model.device import PciDevice
    from vfioctl.model.group import IommuGroup
    from vfioctl.model.host import Host
    from vfioctl.render.document import Document
    from vfioctl.render.styled import Line
    from vfioctl.sysfs.names import Names

# What follows from other fields, or from the database of names, is no difference of its own.
_DERIVED = ("address", "vendor_name", "device_name", "class_name", "assignable", "reasons")
# What a device's document leaves out.
_BESIDE = ("bars", "express", "port_type", "acs", "unbinding", "companions")

Facts: TypeAlias = "Mapping[str, Any]"


class Change(NamedTuple):
    """One field with its two values, as JSON has them."""

    of: str | int | None
    """The device's address, the group's number, or None for the host."""
    field: str
    old: Any
    new: Any


class Difference(NamedTuple):
    """Everything that is not the same."""

    added: tuple[Document, ...]
    removed: tuple[Document, ...]
    changed: tuple[Change, ...]
    groups: tuple[Change, ...]
    host: tuple[Change, ...]

    @property
    def equal(self) -> bool:
        """Whether there is none."""
        return not any(self)


def compare(old: Host, new: Host, names: Names) -> Difference:
    """Compare two hosts, device by device and group by group."""
    before, after = old.by_address, new.by_address
    both = sorted(before.keys() & after.keys())
    return Difference(
        added=tuple(device_document(new, after[one], names) for one in sorted(after.keys() - before.keys())),
        removed=tuple(
            device_document(old, before[one], names) for one in sorted(before.keys() - after.keys())
        ),
        changed=tuple(
            change
            for one in both
            if before[one] != after[one]
            for change in _changes(str(one), _facts(old, before[one], names), _facts(new, after[one], names))
        ),
        groups=tuple(_group_changes(old, new)),
        host=tuple(_changes(None, _host(old), _host(new))),
    )


def _changes(of: str | int | None, old: Facts, new: Facts) -> Iterator[Change]:
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            yield Change(of, key, old.get(key), new.get(key))


def _facts(host: Host, device: PciDevice, names: Names) -> Facts:
    described = device_document(host, device, names)
    facts = {key: value for key, value in described.items() if key not in _DERIVED}
    return facts | {key: _jsonable(getattr(device, key)) for key in _BESIDE}


def _jsonable(value: object) -> Any:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, PciAddress):
        return str(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        named = getattr(value, "_asdict", None)
        if named:
            return {key: _jsonable(member) for key, member in named().items()}
        return [_jsonable(member) for member in value]
    return value


def _group_changes(old: Host, new: Host) -> Iterator[Change]:
    for number in sorted(old.by_group.keys() | new.by_group.keys()):
        before, after = old.by_group.get(number), new.by_group.get(number)
        if before != after:
            yield from _changes(number, _group(before), _group(after))


def _group(group: IommuGroup | None) -> Facts:
    if group is None:
        return {}
    return {key: _jsonable(value) for key, value in group._asdict().items() if key != "id"}


def _host(host: Host) -> Facts:
    facts = {key: value for key, value in host_facts(host).items() if key != "groups"}
    mdevs = [mdev.uuid for mdev in host.mdevs]
    return facts | {"iommufd": host.iommufd, "lockdown": host.lockdown, "mdevs": mdevs}


def difference_document(difference: Difference) -> Document:
    """Describe a difference."""
    return document(
        "diff",
        equal=difference.equal,
        added=list(difference.added),
        removed=list(difference.removed),
        changed=[{"address": change.of, **_sides(change)} for change in difference.changed],
        groups=[{"id": change.of, **_sides(change)} for change in difference.groups],
        host=[_sides(change) for change in difference.host],
    )


def _sides(change: Change) -> Document:
    return {"field": change.field, "old": change.old, "new": change.new}


def difference_lines(difference: Difference, *, width: int | None) -> Iterator[Line]:
    """Yield what came, what went, and what changed from what to what."""
    if difference.equal:
        yield [("no difference", "good")]
        return
    for sign, style, devices in (("-", "removed", difference.removed), ("+", "added", difference.added)):
        for device in devices:
            name = device["device_name"] or device["class_name"] or ""
            ids = f"{device['vendor_id']}:{device['device_id']}"
            yield [(f"{sign} {device['address']}  {ids}  {visible(name)}".rstrip(), style)]
    yield from _change_lines(difference.changed, "~ {}", width)
    yield from _change_lines(difference.groups, "~ group {}", width)
    yield from _change_lines(difference.host, "~ host", width)
    yield [(_summary(difference), "")]


def _change_lines(changes: tuple[Change, ...], title: str, width: int | None) -> Iterator[Line]:
    said: set[str | int | None] = set()
    for change in changes:
        if change.of not in said:
            said.add(change.of)
            yield [(title.format(change.of), "warn")]
        text = f"{change.field}: {value_text(change.old)} -> {value_text(change.new)}"
        yield from field("", [text], width=width, indent=4)


def value_text(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    """Say a value of a document in few words."""
    match value:
        case None | [] | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(value_text, value))
        case {"kind": _, "detail": detail}:
            return str(detail)
        case dict():
            return " ".join(f"{key} {value_text(member)}" for key, member in value.items())
        case _:
            return str(value)


def _summary(difference: Difference) -> str:
    devices = {change.of for change in difference.changed}
    groups = {change.of for change in difference.groups}
    counts = (
        (len(difference.added), "added"),
        (len(difference.removed), "removed"),
        (len(devices), "changed"),
        (len(groups), "groups changed"),
    )
    said = ", ".join(f"{count} {what}" for count, what in counts if count)
    return said or "only the host itself differs"
