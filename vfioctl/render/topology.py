"""Who sits below whom: the lines of a tree, for any selection of devices."""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host


def branches(host: Host, devices: Sequence[PciDevice]) -> Iterator[tuple[str, PciDevice | None]]:
    """Yield the devices and the bridges above them in tree order, each with the branch that leads to it.

    A root bus is a label without a device.
    """
    shown = _with_bridges(host, devices)
    children: dict[PciAddress | None, list[PciDevice]] = {}
    for device in shown:
        parent = device.parent if device.parent in host.by_address else None
        children.setdefault(parent, []).append(device)
    roots: dict[tuple[int, int], list[PciDevice]] = {}
    for device in children.get(None, ()):
        roots.setdefault((device.address.domain, device.address.bus), []).append(device)
    seen: set[PciAddress] = set()
    for (domain, bus), top in roots.items():
        yield f"pci{domain:04x}:{bus:02x}", None
        yield from _below(top, children, "", seen)
    # Bridges that name each other as parent are malformed, but they are there.
    yield from (("", device) for device in shown if device.address not in seen)


def _with_bridges(host: Host, devices: Sequence[PciDevice]) -> list[PciDevice]:
    wanted = {device.address for device in devices}
    for device in devices:
        wanted.update(bridge.address for bridge in host.ancestors(device))
    return [device for device in host.devices if device.address in wanted]


def _below(
    siblings: Sequence[PciDevice],
    children: dict[PciAddress | None, list[PciDevice]],
    trunk: str,
    seen: set[PciAddress],
) -> Iterator[tuple[str, PciDevice]]:
    for device in siblings:
        if device.address in seen:
            continue
        seen.add(device.address)
        last = device is siblings[-1]
        yield trunk + ("└─ " if last else "├─ "), device
        under = children.get(device.address, ())
        if under:
            yield from _below(under, children, trunk + ("   " if last else "│  "), seen)
