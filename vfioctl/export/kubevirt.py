"""What KubeVirt must be told of resources that an external device plugin offers.

Without ``externalResourceProvider`` virt-handler serves a rival of the same name, so that the cluster's part
is no ornament. With it KubeVirt looks at names alone; the selectors stand there for its schema.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import chain, count

from vfioctl.export.label import label
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

UNKNOWN_IDS = "0000:0000"
"""Stands for the ids of a resource that has no device on this host."""


class Listing(StrEnum):
    """The lists of ``permittedHostDevices``."""

    PCI = "pciHostDevices"
    MDEV = "mediatedDevices"
    USB = "usb"


class Permitted(NamedTuple):
    """A resource as KubeVirt lists it."""

    resource: str
    listing: Listing
    selectors: tuple[str, ...]
    """As ``10DE:1EB8``, the names of types, or ``1050:0407`` of USB devices; none: there is none here."""
    gpu: bool = False
    """Whether a VM has it among its ``gpus``, which differ from ``hostDevices`` by name alone."""


def cluster_part(permitted: Sequence[Permitted]) -> dict[str, Any]:
    """Return the part of the KubeVirt resource that permits all of them."""
    lists = {
        listing.value: [_entry(one) for one in permitted if one.listing is listing]
        for listing in Listing
        if any(one.listing is listing for one in permitted)
    }
    gates = ["HostDevices", *(["GPU"] if any(one.gpu for one in permitted) else [])]
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {"name": "kubevirt", "namespace": "kubevirt"},
        "spec": {
            "configuration": {
                "developerConfiguration": {"featureGates": gates},
                "permittedHostDevices": lists,
            }
        },
    }


def machine_part(permitted: Sequence[Permitted]) -> dict[str, Any]:
    """Return the part of a VM that asks for one device of each."""
    devices: dict[str, Any] = {}
    for name, one in zip(_names(permitted), permitted, strict=True):
        entries = devices.setdefault("gpus" if one.gpu else "hostDevices", [])
        entries.append({"name": name, "deviceName": one.resource})
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "example"},
        "spec": {"domain": {"devices": devices}},
    }


def _entry(one: Permitted) -> dict[str, Any]:
    first = next(iter(one.selectors), None)
    selector: dict[str, Any] = {}
    match one.listing:
        case Listing.PCI:
            selector["pciVendorSelector"] = first or UNKNOWN_IDS
        case Listing.MDEV:
            selector["mdevNameSelector"] = first or "unknown"
        case Listing.USB:
            pairs = (ids.split(":") for ids in one.selectors or (UNKNOWN_IDS,))
            selector["selectors"] = [{"vendor": vendor, "product": product} for vendor, product in pairs]
    return {**selector, "resourceName": one.resource, "externalResourceProvider": True}


def _names(permitted: Iterable[Permitted]) -> list[str]:
    """Return a name for each entry of a VM, each once, as Kubernetes takes them."""
    names: list[str] = []
    for one in permitted:
        own = label(one.resource.partition("/")[2])
        others = (label(own, f"-{number}") for number in count(2))
        names.append(next(name for name in chain([own], others) if name not in names))
    return names
