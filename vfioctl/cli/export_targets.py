"""From selectors to devices that a container can have."""

from __future__ import annotations

import os

from vfioctl.cli.selection import selected
from vfioctl.errors import HostCannotError, RefusedError, UsageError
from vfioctl.export.nodes import Backend
from vfioctl.export.readiness import (
    Finding,
    State,
    group_findings,
    is_endpoint,
    node_findings,
    readiness,
    with_groups,
)
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from vfioctl.cli.session import Session
    from vfioctl.export.cdi import Access, CdiDevice
    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector

_SHOWN = 4


def refuse_snapshot(session: Session) -> None:
    """Refuse to store on this machine what is true of another one.

    Raises:
        UsageError: the session looks at a snapshot.

    """
    if session.root != "/":
        raise UsageError(
            f"{session.root} is not this host: nothing of it is stored here",
            hint="print it with --print, or name a folder with --dir",
        )


def endpoints(session: Session, host: Host, selectors: Sequence[Selector]) -> tuple[PciDevice, ...]:
    """Return the devices that are meant: bridges only where nothing else matches."""
    for selector in selectors:
        if selector.foreign:
            raise UsageError(
                f"{selector.text} names {selector.foreign}; this command is about PCI functions",
                hint="see: vfioctl scan driver:vfio-pci",
            )
    found = selected(session, host, selectors)
    return tuple(device for device in found if is_endpoint(device)) or found


def exactly_named(
    host: Host, devices: Iterable[PciDevice], selectors: Iterable[Selector]
) -> frozenset[PciAddress]:
    """Return those of the devices that the user wrote down, rather than described."""
    exact = [selector for selector in selectors if selector.is_exact]
    return frozenset(
        device.address for device in devices if any(selector.matches(device, host) for selector in exact)
    )


class Wish(NamedTuple):
    """Which devices a specification is to have, and how."""

    selectors: tuple[Selector, ...]
    """None: all that are on a vfio driver."""
    backend: str
    access: Access
    device_only: bool = False


def devices_for_cdi(
    session: Session, host: Host, wish: Wish
) -> tuple[tuple[CdiDevice, ...], tuple[Finding, ...]]:
    """Return the devices to describe, and what is to be said of them.

    Raises:
        NotFoundError: nothing matches.
        RefusedError: a device that was named is not on a vfio driver, or none of those meant is.
        HostCannotError: a device that was named can never be given away, or lacks the nodes of the backend.

    """
    from vfioctl.export.cdi import cdi_device

    selectors, backend, access, device_only = wish
    chosen = endpoints(session, host, selectors) if selectors else _all_on_vfio(host)
    named = exactly_named(host, chosen, selectors)
    _refuse_named(host, chosen, named)
    wanted = chosen if device_only or not selectors else with_groups(host, chosen)
    ready = [device for device in wanted if device.on_vfio]
    described = [cdi_device(device, Backend(backend), access) for device in ready]
    without = {device.address for device in described if not device.nodes}
    if without & named and backend != Backend.AUTO:
        raise no_backend(min(without & named), backend)
    if selectors and len(without) == len(ready):
        raise RefusedError(
            "none of these devices is on a vfio driver with nodes", hint=f"vfioctl bind {chosen[0].address}"
        )
    findings = [
        *_left_out(chosen),
        *group_findings(host, ready),
        *node_findings(host, ready),
        *(_without_nodes(address, backend) for address in sorted(without) if backend != Backend.AUTO),
        *(_missing_nodes(described) if session.root == "/" else ()),
    ]
    return tuple(device for device in described if device.nodes), tuple(findings)


def _all_on_vfio(host: Host) -> tuple[PciDevice, ...]:
    return tuple(device for device in host.devices if device.on_vfio)


def _refuse_named(host: Host, chosen: Sequence[PciDevice], named: Collection[PciAddress]) -> None:
    states = [(device, readiness(host, device)) for device in chosen if device.address in named]
    for device, state in states:
        if state.state is State.NEVER:
            raise HostCannotError(f"{device.address}: {state.reason}", hint=state.hint)
    unbound = [device for device, state in states if state.state is State.UNBOUND]
    if unbound:
        first = readiness(host, unbound[0])
        raise RefusedError(
            f"{unbound[0].address}: {first.reason}",
            hint=f"vfioctl bind {' '.join(str(device.address) for device in unbound)}",
        )


def _left_out(chosen: Sequence[PciDevice]) -> Iterator[Finding]:
    left = [device.address for device in chosen if not device.on_vfio]
    if left:
        names = " ".join(map(str, left[:_SHOWN]))
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        yield Finding(
            "driver", "note", None, f"not on a vfio driver, left out: {names}{more}", f"vfioctl bind {names}"
        )


def no_backend(address: PciAddress, backend: str) -> HostCannotError:
    """Return the error for a device without the nodes that were asked for."""
    return HostCannotError(
        f"{address} has no nodes for --backend {backend}",
        hint="leave --backend away to take the nodes there are; see: ls -R /dev/vfio",
    )


def _without_nodes(address: PciAddress, backend: str) -> Finding:
    return Finding(
        "node", "warn", address, f"no nodes for --backend {backend}, left out", "leave --backend away"
    )


def _missing_nodes(devices: Iterable[CdiDevice]) -> Iterator[Finding]:
    """Yield the nodes that the kernel announces and that are not in /dev: no container would start."""
    for device in devices:
        for node in device.nodes:
            if not os.path.lexists(node.path):
                yield Finding(
                    "node", "warn", device.address, f"{node.path} is not there", "is this a container itself?"
                )
