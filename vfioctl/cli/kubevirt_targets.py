"""From the plugin's configuration and a host to what KubeVirt is told of them."""

from __future__ import annotations

import sys
from pathlib import Path

from vfioctl.errors import NotFoundError, NotPermittedError, UsageError
from vfioctl.export.kubevirt import Listing, Permitted
from vfioctl.export.kubevirt_check import Knowledge
from vfioctl.model.terms import IdsTerm
from vfioctl.plugin.lots import lots, resources_of
from vfioctl.plugin.names import resource_name_problem
from vfioctl.plugin.settings import EnvStyle, Kind
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.plugin.lots import Lot
    from vfioctl.plugin.settings import Config, Resource
    from vfioctl.plugin.sight import Sight

_HOW = "kubectl get kubevirt -A -o yaml | vfioctl kubevirt check -"
_LISTINGS = {Kind.PCI: Listing.PCI, Kind.MDEV: Listing.MDEV, Kind.USB: Listing.USB}


def permitted(host: Host, config: Config, sight: Sight) -> tuple[tuple[Permitted, ...], tuple[str, ...]]:
    """Return the resources that a VM can ask for, and why others are none: each as a sentence."""
    resources = resources_of(host, config)
    left_out = tuple(
        f"{one.name} is left out: {why}" for one in resources if (why := _why_not(one)) is not None
    )
    return tuple(_permitted(host, one, sight) for one in resources if _why_not(one) is None), left_out


def knowledge(host: Host, offered: tuple[Permitted, ...], sight: Sight) -> Knowledge:
    """Return what a cluster's documents are held against."""
    types = {
        name
        for device in host.devices
        for kind in device.mdev_types
        for name in (kind.id, kind.name)
        if name is not None
    }
    return Knowledge(
        offered=offered,
        pci=frozenset(map(_ids, host.devices)),
        mdev_types=frozenset(types),
        usb=None if sight.usb is None else frozenset(usb.ids for usb in sight.usb),
        name_problem=resource_name_problem,
    )


def documents(paths: Sequence[str], hint: str = _HOW) -> Iterator[Any]:
    """Yield the documents of files; ``-`` is stdin. The hint says how to get such a file.

    Raises:
        UsageError: a file is not YAML, or has nothing that is checked here.
        NotFoundError: there is no such file.
        NotPermittedError: it may not be read.

    """
    from vfioctl.export.kubevirt_source import is_known
    from vfioctl.export.yaml_source import read_yaml

    for path in paths:
        name = "stdin" if path == "-" else path
        found = read_yaml(content_of(path), name)
        if not any(is_known(document) for document in found):
            raise UsageError(
                f"{name} has neither a KubeVirt nor a virtual machine in it",
                hint=hint,
            )
        yield from found


def content_of(path: str) -> bytes:
    """Read a file, or stdin as ``-``, as far as one is ever looked at; raises as `documents` does."""
    from vfioctl.export.yaml_source import LARGEST

    if path == "-":
        return sys.stdin.buffer.read(LARGEST + 1) if sys.stdin else b""
    try:
        with Path(path).open("rb") as file:
            return file.read(LARGEST + 1)
    except FileNotFoundError as problem:
        raise NotFoundError(f"{path} does not exist", hint="name a file, or - for stdin") from problem
    except PermissionError as problem:
        raise NotPermittedError(f"{path} may not be read", hint="run it as a user who may") from problem
    except OSError as problem:
        raise UsageError(f"{path}: {problem.strerror}", hint="name a file, or - for stdin") from problem


def _why_not(resource: Resource) -> str | None:
    if resource.kind not in _LISTINGS:
        return f'KubeVirt has no place for kind = "{resource.kind.value}"'
    if EnvStyle.KUBEVIRT not in resource.env:
        return 'its env lacks "kubevirt", so that virt-launcher would not find its devices'
    return None


def _permitted(host: Host, resource: Resource, sight: Sight) -> Permitted:
    found = tuple(lots(host, resource, sight))
    classes = {function.word for lot in found for function in lot.functions[:1]}
    selectors = tuple(dict.fromkeys(_selector(resource.kind, lot) for lot in found))
    if resource.kind is Kind.PCI and not selectors:
        selectors = tuple(_written(resource))
    return Permitted(resource.name, _LISTINGS[resource.kind], selectors, classes == {"gpu"})


def _selector(kind: Kind, lot: Lot) -> str:
    if kind is Kind.USB and lot.usb is not None:
        return lot.usb.ids
    if kind is Kind.MDEV and lot.mdev is not None:
        types = {kind.id: kind.name for kind in lot.functions[0].mdev_types}
        return types.get(lot.mdev.type_id or "") or lot.mdev.type_id or "unknown"
    return _ids(lot.functions[0])


def _written(resource: Resource) -> Iterable[str]:
    """Yield the ids that the configuration spells out, where no device of this host has them."""
    for selector in resource.select:
        for term in selector.terms:
            if isinstance(term, IdsTerm) and term[1] is not None:
                yield f"{term[0]:04X}:{term[1]:04X}"


def _ids(device: PciDevice) -> str:
    return f"{device.vendor_id:04X}:{device.device_id:04X}"
