"""The network as procfs shows it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Own = tuple[str, IPv4Interface | IPv6Interface]
"""An interface and one of its addresses."""

_UP, _GATEWAY = 0x1, 0x2
_HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def proc_net(own: Sequence[Own], default: str | None) -> dict[str, str]:
    """Return the files below /proc/net: routes, and the host's own addresses."""
    v4 = [(name, address) for name, address in own if isinstance(address, IPv4Interface)]
    v6 = [(name, address) for name, address in own if isinstance(address, IPv6Interface)]
    return {
        "/proc/net/route": _HEAD + "".join(_routes_v4(v4, default)),
        "/proc/net/fib_trie": "".join(_trie(v4)),
        "/proc/net/if_inet6": "".join(_addresses_v6(v6)),
        "/proc/net/ipv6_route": "".join(_routes_v6(v6, default)),
    }


def _routes_v4(own: Sequence[tuple[str, IPv4Interface]], default: str | None) -> Iterable[str]:
    for name, address in own:
        if name == default:
            yield _route_v4(
                name, IPv4Address(0), next(address.network.hosts()), _UP | _GATEWAY, IPv4Address(0)
            )
    for name, address in own:
        yield _route_v4(name, address.network.network_address, IPv4Address(0), _UP, address.netmask)


def _route_v4(name: str, target: IPv4Address, gateway: IPv4Address, flags: int, mask: IPv4Address) -> str:
    words = (f"{int.from_bytes(address.packed, 'little'):08X}" for address in (target, gateway, mask))
    destination, through, netmask = words
    return f"{name}\t{destination}\t{through}\t{flags:04X}\t0\t0\t100\t{netmask}\t0\t0\t0\n"


def _trie(own: Sequence[tuple[str, IPv4Interface]]) -> Iterable[str]:
    yield "Local:\n"
    for _, address in own:
        yield f"  +-- {address.network} 2 0 2\n     |-- {address.ip}\n        /32 host LOCAL\n"
    yield "  +-- 127.0.0.0/8 2 0 2\n     |-- 127.0.0.1\n        /32 host LOCAL\n"


def _addresses_v6(own: Sequence[tuple[str, IPv6Interface]]) -> Iterable[str]:
    yield f"{int(IPv6Address('::1')):032x} 01 80 10 80       lo\n"
    for index, (name, address) in enumerate(own, start=2):
        yield f"{int(address.ip):032x} {index:02x} {address.network.prefixlen:02x} 00 80 {name:>8}\n"


def _routes_v6(own: Sequence[tuple[str, IPv6Interface]], default: str | None) -> Iterable[str]:
    zero = "0" * 32
    for name, address in own:
        network = address.network
        start = f"{int(network.network_address):032x} {network.prefixlen:02x} {zero} 00"
        yield f"{start} {zero} 00000100 00000001 00000000 00000001 {name:>8}\n"
        if name == default:
            gateway = f"{int(IPv6Address('fe80::1')):032x}"
            yield f"{zero} 00 {zero} 00 {gateway} 00000400 00000003 00000000 00000003 {name:>8}\n"
    # Every kernel has this one: what nobody else takes is refused.
    yield f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n"
