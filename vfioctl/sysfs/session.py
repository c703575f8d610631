"""The ssh session that a command runs in, and the functions its packets go through."""

from __future__ import annotations

from vfioctl.model.pattern import pattern
from vfioctl.model.situation import SshSession
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root
from vfioctl.sysfs.classes import class_members
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from ipaddress import IPv4Address, IPv6Address

    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host
    from vfioctl.sysfs.attribute import Attributes

# OpenSSH 9.8 split it: sshd listens, sshd-session serves one connection.
_SERVERS = ("sshd", "dropbear")
_SERVES_ONE = "sshd-"
_SOCKET = pattern(r"socket:\[(\d+)\]")
_ESTABLISHED = "01"
_WORD = 8


class _Connection(NamedTuple):
    """The two ends of a session."""

    peer: IPv4Address | IPv6Address
    local: IPv4Address | IPv6Address
    zone: str | None = None
    """The interface of a link-local address, where it was said."""


def read_sessions(
    attributes: Attributes, host: Host, environ: Mapping[str, str]
) -> tuple[tuple[SshSession, ...], tuple[str, ...]]:
    """Return the ssh sessions that the command runs in, and what could not be found out about them.

    By ``SSH_CONNECTION``, which sudo takes away, and by the sockets of each ssh server among the parents,
    which `tmux` and `screen` detach from. Where the local address does not lead to a device, as on a host
    that has it on its loopback, the route back to the peer does.
    """
    told, doubts = _from_environment(environ)
    seen, more = _from_parents(attributes)
    connections = dict.fromkeys((*told, *seen))
    if told:
        # The variable says it all: nothing is lost where the server's sockets cannot be read.
        more = []
    if not connections:
        return (), (*doubts, *more)
    sessions: list[SshSession] = []
    way = _Way(attributes, host)
    for connection in connections:
        found, unclear = way.sessions(connection)
        sessions += found
        doubts += unclear
    return tuple(dict.fromkeys(sessions)), tuple(dict.fromkeys((*doubts, *more)))


def _from_environment(environ: Mapping[str, str]) -> tuple[list[_Connection], list[str]]:
    """Read ``SSH_CONNECTION``: the peer's address and port, the local address and port."""
    text = environ.get("SSH_CONNECTION")
    if not text:
        return [], []
    try:
        peer, _, local, _ = text.split()
        zone = local.partition("%")[2] or None
        return [_Connection(_plain(peer.partition("%")[0]), _plain(local.partition("%")[0]), zone)], []
    except ValueError:
        return [], [f"the ssh session is not known: SSH_CONNECTION is {text[:80]!r}"]


def _plain(text: str) -> IPv4Address | IPv6Address:
    from ipaddress import ip_address

    address = ip_address(text)
    # A server that listens for both families sees IPv4 in IPv6's clothes.
    return getattr(address, "ipv4_mapped", None) or address


def _from_parents(attributes: Attributes) -> tuple[list[_Connection], list[str]]:
    """Look for ssh servers among the parents, and at their connections."""
    inodes: set[str] = set()
    servers: list[int] = []
    refused = False
    for pid in _parents(attributes):
        name = attributes.text(f"{root.PROCESSES}/{pid}/comm") or ""
        if name not in _SERVERS and not name.startswith(_SERVES_ONE):
            continue
        servers.append(pid)
        try:
            inodes |= _sockets(attributes, pid)
        except OSError:
            refused = True
    if not servers:
        return [], []
    found = [*_connections(attributes, root.TCP_V4, inodes), *_connections(attributes, root.TCP_V6, inodes)]
    if found:
        return found, []
    reason = "its sockets may not be read" if refused else "it is none of TCP in this network namespace"
    return [], [f"the ssh session is not known: the server is process {servers[0]}, and {reason}"]


def _parents(attributes: Attributes) -> Iterator[int]:
    """Yield the parents of this process, nearest first."""
    pid, seen = "self", {"0"}
    while pid not in seen:
        seen.add(pid)
        # "4711 (name, which may hold anything) S 4710 ...": the parent stands behind the state.
        fields = (attributes.text(f"{root.PROCESSES}/{pid}/stat") or "").rpartition(")")[2].split()
        if len(fields) < 2 or not fields[1].isdecimal():  # noqa: PLR2004 - the two fields used here
            return
        pid = fields[1]
        if pid not in seen:
            yield int(pid)


def _sockets(attributes: Attributes, pid: int) -> set[str]:
    folder = attributes.files.folder(f"{root.PROCESSES}/{pid}/fd")
    try:
        found = (_SOCKET.fullmatch(folder.link(name)) for name in folder.names())
        return {match[1] for match in found if match}
    finally:
        folder.close()


def _connections(attributes: Attributes, path: str, inodes: set[str]) -> Iterator[_Connection]:
    for line in attributes.lines(path)[1:]:
        # number, local and remote address:port, state, queues, timer, retransmits, user, timeout, inode
        fields = line.split()
        if len(fields) > 9 and fields[9] in inodes and fields[3] == _ESTABLISHED:  # noqa: PLR2004 - as above
            yield _Connection(_number(fields[2]), _number(fields[1]))


def _number(text: str) -> IPv4Address | IPv6Address:
    """Read an address of /proc/net/tcp: words of 32 bits in the host's byte order."""
    digits = text.partition(":")[0]
    words = (int(digits[start : start + _WORD], 16) for start in range(0, len(digits), _WORD))
    content = b"".join(word.to_bytes(4, "little") for word in words)
    from ipaddress import IPv4Address, IPv6Address

    return _plain(str(IPv4Address(content) if len(content) == 4 else IPv6Address(content)))  # noqa: PLR2004


class _Way:
    """Finds the devices between the host and the other end of a connection."""

    def __init__(self, attributes: Attributes, host: Host) -> None:
        from vfioctl.sysfs.network import read_network

        members = tuple(class_members(attributes, root.NET))
        self._attributes = attributes
        self._network = read_network(attributes, members)
        self._paths = {member.name: member.path for member in members}
        self._functions: dict[str, list[PciAddress]] = {}
        for device in host.devices:
            for name in device.net_interfaces:
                self._functions.setdefault(name, []).append(device.address)

    def sessions(self, connection: _Connection) -> tuple[list[SshSession], list[str]]:
        """Return the session by each interface that may carry it, or why none is known."""
        from vfioctl.sysfs.route import interfaces_with, route_to

        peer, local = connection.peer, connection.local
        zone = connection.zone
        names = [zone] if zone else interfaces_with(self._attributes, self._network, local)
        found = self._carried(peer, names)
        if not found and not local.is_loopback:
            back = route_to(self._attributes, peer)
            found = self._carried(peer, [back] if back else ())
        if found:
            return found, []
        if not names:
            return [], [f"the ssh session from {peer} arrives at {local}, and no interface has that address"]
        bare = [SshSession(str(peer), name, ()) for name in names]
        way = f"the ssh session from {peer} arrives through {' or '.join(names)}"
        return bare, [f"{way}, and which device carries that is not known"]

    def _carried(self, peer: IPv4Address | IPv6Address, names: Iterable[str]) -> list[SshSession]:
        pairs = ((name, self._carriers(name)) for name in names)
        return [SshSession(str(peer), name, carriers) for name, carriers in pairs if carriers]

    def _carriers(self, interface: str) -> tuple[PciAddress, ...]:
        """Return the functions of an interface and of what is below it: a bond's ports, a VLAN's base."""
        found: set[PciAddress] = set()
        waiting, seen = [interface], set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            found.update(self._functions.get(name, ()))
            if name in self._paths:
                below = self._attributes.names(self._paths[name], lambda entry: entry.startswith("lower_"))
                waiting += [entry.removeprefix("lower_") for entry in below]
        return tuple(sorted(found))
