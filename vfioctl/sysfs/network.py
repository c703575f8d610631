"""What the host's network does on an interface: addresses, masters, interfaces built on it, routes."""

from __future__ import annotations

from vfioctl.model.usage import Usage, UsageKind
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vfioctl.sysfs.attribute import Attributes
    from vfioctl.sysfs.classes import Member

_IFF_UP = 0x1
_RTF_UP = 0x1
_RTF_GATEWAY = 0x2
_RTF_REJECT = 0x200
_LINK_LOCAL = "fe80"


class Interface(NamedTuple):
    """One network interface."""

    name: str
    up: bool
    master: str | None
    """The bond, bridge, team or switch it is a port of."""
    uppers: tuple[str, ...]
    """Interfaces built on it, such as VLANs."""


class Network(NamedTuple):
    """The host's network, as far as giving a device away would change it."""

    interfaces: Mapping[str, Interface]
    addresses: Mapping[str, tuple[str, ...]]
    default_routes: Mapping[str, tuple[str, ...]]
    """Interface to the families (``IPv4``, ``IPv6``) whose default route leaves through it."""


class _Connected(NamedTuple):
    """A directly connected IPv4 network."""

    interface: str
    network: int
    mask: int


def read_network(attributes: Attributes, members: Sequence[Member]) -> Network:
    """Read interfaces, addresses and default routes."""
    connected, defaults = _routes_v4(attributes)
    addresses = _addresses_v4(attributes, connected)
    for interface, address in _addresses_v6(attributes):
        addresses.setdefault(interface, []).append(address)
    for interface in _defaults_v6(attributes):
        families = defaults.setdefault(interface, [])
        if "IPv6" not in families:
            families.append("IPv6")
    return Network(
        interfaces={member.name: _interface(attributes, member) for member in members},
        addresses={name: tuple(found) for name, found in addresses.items()},
        default_routes={name: tuple(found) for name, found in defaults.items()},
    )


def _interface(attributes: Attributes, member: Member) -> Interface:
    path = member.path
    # `carrier` and `speed` would take the network's global lock; `flags` does not.
    flags = attributes.integer(f"{path}/flags", 16) or 0
    entries = attributes.names(path, lambda entry: entry == "master" or entry.startswith("upper_"))
    return Interface(
        name=member.name,
        up=bool(flags & _IFF_UP),
        master=attributes.link_name(f"{path}/master") if "master" in entries else None,
        uppers=tuple(entry[6:] for entry in entries if entry.startswith("upper_")),
    )


def _routes_v4(attributes: Attributes) -> tuple[list[_Connected], dict[str, list[str]]]:
    connected: list[_Connected] = []
    defaults: dict[str, list[str]] = {}
    for line in attributes.lines(root.ROUTES_V4)[1:]:
        fields = line.split()
        try:
            interface, flags = fields[0], int(fields[3], 16)
            network, mask = little_endian(fields[1]), little_endian(fields[7])
        except (IndexError, ValueError, OverflowError):
            continue
        if not flags & _RTF_UP or flags & _RTF_REJECT:
            continue
        if network == mask == 0:
            defaults[interface] = ["IPv4"]
        elif not flags & _RTF_GATEWAY:
            connected.append(_Connected(interface, network, mask))
    return connected, defaults


def little_endian(text: str) -> int:
    """Return an IPv4 address that the kernel printed as one number of the host's byte order."""
    return int.from_bytes(int(text, 16).to_bytes(4, "little"), "big")


def _addresses_v4(attributes: Attributes, connected: list[_Connected]) -> dict[str, list[str]]:
    """Match the host's own addresses with the connected networks: procfs has no list by interface."""
    addresses: dict[str, list[str]] = {}
    for text in _local_addresses(attributes.lines(root.ADDRESSES_V4)):
        number = _number_v4(text)
        near = [route for route in connected if number & route.mask == route.network]
        longest = max((route.mask for route in near), default=0)
        # Two interfaces in one network: procfs does not tell whose address it is, so either may lose it.
        for interface in dict.fromkeys(route.interface for route in near if route.mask == longest):
            found = addresses.setdefault(interface, [])
            if text not in found:
                found.append(text)
    return addresses


def _local_addresses(lines: list[str]) -> Iterator[str]:
    # "|-- 192.0.2.7" followed by "/32 host LOCAL"
    last = ""
    for line in lines:
        text = line.strip()
        if text.startswith("|-- "):
            last = text[4:]
        elif text == "/32 host LOCAL" and last and not last.startswith("127."):
            yield last


def _number_v4(text: str) -> int:
    try:
        return int.from_bytes(bytes(int(part) for part in text.split(".")), "big")
    except ValueError:
        return 0


def _addresses_v6(attributes: Attributes) -> Iterator[tuple[str, str]]:
    for line in attributes.lines(root.ADDRESSES_V6):
        # "20010db8000000000000000000000001 02 40 00 80 eth0"
        fields = line.split()
        if len(fields) == 6 and len(fields[0]) == 32 and not fields[0].startswith(_LINK_LOCAL):  # noqa: PLR2004
            yield fields[5], _spell_v6(fields[0])


def _spell_v6(digits: str) -> str:
    if digits.strip("0123456789abcdef"):
        return digits
    # By hand: to import ipaddress would cost more than to read ten devices.
    words = [digits[at : at + 4].lstrip("0") or "0" for at in range(0, len(digits), 4)]
    # Two colons stand for the longest run of zeros, the first of those as long, and never for one alone.
    for length in range(len(words), 1, -1):
        for at in range(len(words) - length + 1):
            if words[at : at + length] == ["0"] * length:
                return f"{':'.join(words[:at])}::{':'.join(words[at + length :])}"
    return ":".join(words)


def _defaults_v6(attributes: Attributes) -> Iterator[str]:
    for line in attributes.lines(root.ROUTES_V6):
        # destination, prefix length, source, its length, next hop, metric, counters, flags, interface
        fields = line.split()
        try:
            is_default = int(fields[0], 16) == 0 and int(fields[1], 16) == 0
            flags, interface = int(fields[8], 16), fields[9]
        except (IndexError, ValueError):
            continue
        if is_default and flags & _RTF_UP and not flags & _RTF_REJECT and interface != "lo":
            yield interface


def network_uses(network: Network, name: str) -> Iterator[Usage]:
    """Yield the uses of one interface, and of what its master and the interfaces built on it carry."""
    interface = network.interfaces[name]
    if interface.up:
        yield Usage(UsageKind.INTERFACE, name, f"{name} is up")
    if interface.master:
        yield Usage(UsageKind.MASTER, name, f"{name} is a port of {interface.master}")
    for upper in interface.uppers:
        if upper != interface.master:
            yield Usage(UsageKind.UPPER, name, f"{upper} is built on {name}")
    for carrier in _above(network, interface):
        way = name if carrier == name else f"{carrier} (above {name})"
        for address in network.addresses.get(carrier, ()):
            yield Usage(UsageKind.ADDRESS, name, f"{way} has the address {address}")
        families = network.default_routes.get(carrier, ())
        if families:
            which = " and ".join(families)
            yield Usage(UsageKind.ROUTE, name, f"the default route ({which}) leaves through {way}")


def _above(network: Network, interface: Interface) -> Iterator[str]:
    """Yield an interface and everything above it."""
    waiting, seen = [interface.name], set()
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        yield name
        here = network.interfaces.get(name)
        if here is not None:
            waiting.extend(([here.master] if here.master else []) + list(here.uppers))
