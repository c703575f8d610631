"""Which interface has an address, and which one the way to an address begins with."""

from __future__ import annotations

from ipaddress import IPv4Address

from vfioctl.sysfs import root
from vfioctl.sysfs.network import Network, little_endian
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv6Address

    from vfioctl.sysfs.attribute import Attributes

_RTF_UP = 0x1
_RTF_REJECT = 0x200


def interfaces_with(attributes: Attributes, network: Network, local: IPv4Address | IPv6Address) -> list[str]:
    """Return the interfaces that have, or for IPv4 may have, one of the host's own addresses."""
    if local.is_loopback:
        return ["lo"]
    if isinstance(local, IPv4Address):
        return [name for name, addresses in network.addresses.items() if str(local) in addresses]
    rows = (line.split() for line in attributes.lines(root.ADDRESSES_V6))
    return [row[-1] for row in rows if row and row[0] == f"{int(local):032x}"]


def route_to(attributes: Attributes, peer: IPv4Address | IPv6Address) -> str | None:
    """Return the interface that packets to an address leave through, by the main routing table."""
    found = _routes_v4(attributes) if isinstance(peer, IPv4Address) else _routes_v6(attributes)
    width, number = peer.max_prefixlen, int(peer)
    # The longest prefix wins, then the least metric.
    ways = [
        (length, -metric, interface)
        for interface, network, length, metric in found
        if number >> (width - length) == network >> (width - length)
    ]
    return max(ways)[2] if ways else None


def _routes_v4(attributes: Attributes) -> Iterator[tuple[str, int, int, int]]:
    """Yield interface, network, prefix length and metric."""
    for line in attributes.lines(root.ROUTES_V4)[1:]:
        fields = line.split()
        try:
            network, mask = little_endian(fields[1]), little_endian(fields[7])
            flags, metric = int(fields[3], 16), int(fields[6])
        except (IndexError, ValueError, OverflowError):
            continue
        if flags & _RTF_UP and not flags & _RTF_REJECT:
            yield fields[0], network, mask.bit_count(), metric


def _routes_v6(attributes: Attributes) -> Iterator[tuple[str, int, int, int]]:
    for line in attributes.lines(root.ROUTES_V6):
        fields = line.split()
        try:
            network, length = int(fields[0], 16), int(fields[1], 16)
            flags, metric, interface = int(fields[8], 16), int(fields[5], 16), fields[9]
        except (IndexError, ValueError):
            continue
        if flags & _RTF_UP and not flags & _RTF_REJECT and length <= 128:  # noqa: PLR2004 - bits of an address
            yield interface, network, length, metric
