"""What documents of a cluster say of host devices; whatever else they say is not looked at."""

from __future__ import annotations

from vfioctl.export.kubevirt import Listing
from vfioctl.model.pattern import pattern
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_IDS = pattern(r"[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}")
_ID = pattern(r"[0-9A-Fa-f]{1,4}")
_LONGEST_SHOWN = 60
_PATHS = {
    "KubeVirt": ("spec", "configuration", "permittedHostDevices"),
    "HyperConverged": ("spec", "permittedHostDevices"),
}
_DOMAINS = {
    "VirtualMachineInstance": ("spec", "domain", "devices"),
    "VirtualMachine": ("spec", "template", "spec", "domain", "devices"),
    "VirtualMachineInstanceReplicaSet": ("spec", "template", "spec", "domain", "devices"),
    "VirtualMachinePool": ("spec", "virtualMachineTemplate", "spec", "template", "spec", "domain", "devices"),
}


class Entry(NamedTuple):
    """One permitted resource."""

    place: str
    listing: Listing
    resource: str | None
    external: bool | None
    selectors: tuple[str, ...]
    fault: str | None = None
    """What its schema would refuse."""


class Permissions(NamedTuple):
    """All that one document permits."""

    place: str
    entries: tuple[Entry, ...]
    gates: tuple[str, ...] | None
    """The feature gates that are on; None where the document does not have them."""


class Asked(NamedTuple):
    """What a VM asks for: the names of resources."""

    place: str
    gpus: tuple[str, ...]
    host_devices: tuple[str, ...]
    fault: str | None = None


def entries_of(document: object) -> Iterator[Permissions]:
    """Yield what a document, or each member of a list, permits."""
    for one in _objects(document):
        path = _PATHS.get(str(one.get("kind")))
        if path is None:
            continue
        lists = _below(one, path)
        place = f"{_called(one)} {'.'.join(path)}"
        entries = [
            _entry(f"{place}.{listing.value}[{number}]", listing, value)
            for listing in Listing
            for number, value in enumerate(_list(lists, listing.value))
        ]
        yield Permissions(place, tuple(entries), _gates(one))


def machines_of(document: object) -> Iterator[Asked]:
    """Yield what a VM, or each VM of a list, asks for."""
    for one in _objects(document):
        path = _DOMAINS.get(str(one.get("kind")))
        if path is None:
            continue
        devices = _below(one, path)
        lists = [_list(devices, name) for name in ("gpus", "hostDevices")]
        names = [tuple(name for value in found if (name := _name(value))) for found in lists]
        bad = any(_name(value) is None for found in lists for value in found)
        fault = "an entry has neither deviceName nor claimName" if bad else None
        yield Asked(f"{_called(one)} {'.'.join(path)}", names[0], names[1], fault)


def is_known(document: object) -> bool:
    """Tell whether a document, or a member of a list, is of a kind that has host devices."""
    return any(str(one.get("kind")) in _PATHS.keys() | _DOMAINS.keys() for one in _objects(document))


def domain_of(document: object) -> tuple[str | None, dict[str, Any]] | None:
    """Return the name and the domain of the first VM in a document; None where there is none."""
    for one in _objects(document):
        path = _DOMAINS.get(str(one.get("kind")))
        if path is not None:
            name = _below(one, ("metadata",)).get("name")
            return name if isinstance(name, str) else None, _below(one, path[:-1])
    return None


def _objects(document: object) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        if str(document.get("kind", "")).endswith("List"):
            yield from (one for one in _list(document, "items") if isinstance(one, dict))
        else:
            yield document


def _called(one: dict[str, Any]) -> str:
    name = _below(one, ("metadata",)).get("name")
    return f"{one.get('kind')} {name}" if isinstance(name, str) else str(one.get("kind"))


def _below(value: object, path: tuple[str, ...]) -> dict[str, Any]:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _list(value: dict[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _gates(one: dict[str, Any]) -> tuple[str, ...] | None:
    if one.get("kind") != "KubeVirt":
        return None
    developer = _below(one, ("spec", "configuration", "developerConfiguration"))
    return tuple(gate for gate in _list(developer, "featureGates") if isinstance(gate, str))


def _name(value: object) -> str | None:
    """Return the resource that an entry of a VM names; one that claims a device by DRA names none."""
    if not isinstance(value, dict):
        return None
    if "claimName" in value or "requestName" in value:
        return ""
    name = value.get("deviceName")
    return name if isinstance(name, str) and name else None


def _entry(place: str, listing: Listing, value: object) -> Entry:
    if not isinstance(value, dict):
        return Entry(place, listing, None, None, (), "it is no mapping")
    resource, external = value.get("resourceName"), value.get("externalResourceProvider")
    selectors, fault = _selectors(listing, value)
    if not isinstance(external, bool | None):
        fault = f"externalResourceProvider is {_shown(external)}, and must be true or false without quotes"
    if not isinstance(resource, str) or not resource:
        fault = "it has no resourceName"
    return Entry(
        place,
        listing,
        resource if isinstance(resource, str) and resource else None,
        external if isinstance(external, bool) else None,
        selectors,
        fault,
    )


def _selectors(listing: Listing, value: dict[str, Any]) -> tuple[tuple[str, ...], str | None]:
    match listing:
        case Listing.PCI:
            ids = value.get("pciVendorSelector", value.get("pciDeviceSelector"))
            if isinstance(ids, str) and _IDS.fullmatch(ids):
                return (ids,), None
            return (), f"pciVendorSelector is {_shown(ids)}, and must be as in '10DE:1EB8'"
        case Listing.MDEV:
            name = value.get("mdevNameSelector")
            return ((name,), None) if isinstance(name, str) and name else ((), "it has no mdevNameSelector")
        case Listing.USB:
            return _usb(_list(value, "selectors"))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _usb(selectors: list[Any]) -> tuple[tuple[str, ...], str | None]:
    found: list[str] = []
    for one in selectors:
        match one:
            case {"vendor": str(vendor), "product": str(product)} if _ID.fullmatch(vendor) and _ID.fullmatch(
                product
            ):
                found.append(f"{vendor:0>4}:{product:0>4}")
            case _:
                return (), "a selector must have vendor and product, as in '1050' and '0407', in quotes"
    return tuple(found), None if found else "it has no selectors"
