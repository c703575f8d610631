"""Names instead of nodes (CDI): the container runtime must know them before a pod is given one."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.lots import resource_named
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host
    from vfioctl.plugin.settings import Backend, Config
    from vfioctl.plugin.values import Offer


class Named(NamedTuple):
    """A PCI function that is handed out by name, and which of its nodes the name stands for."""

    address: PciAddress
    backend: Backend


if TYPE_CHECKING:
    Names: TypeAlias = Callable[[Host, tuple[Named, ...]], str | None]
    """Has these names known to the runtime when it returns, or says why they are not."""


def named(config: Config, offers: Iterable[Offer]) -> tuple[Named, ...]:
    """Return every function of these offers that a container would get by name."""
    return tuple(_named(config, offers))


def _named(config: Config, offers: Iterable[Offer]) -> Iterator[Named]:
    for offer in offers:
        resource = resource_named(config, offer.resource)
        if resource is not None and resource.cdi:
            for item in offer.items:
                yield from (Named(address, resource.backend) for address in item.members)
