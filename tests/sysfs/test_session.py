from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sysfs.reading import at, attributes_of, host_of
from vfioctl.model.situation import SshSession
from vfioctl.sysfs.attribute import Attributes, Files
from vfioctl.sysfs.root import HostRoot
from vfioctl.sysfs.session import _connections, _number, _parents, _sockets, read_sessions

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from tests.support.tree import HostTree

NIC, OTHER, THIRD = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
PEER, LOCAL = "198.51.100.9", "192.0.2.7"
ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


@pytest.fixture
def cards(tree: HostTree) -> HostTree:
    """Return a machine with three cards, the first of which has the way out."""
    for number, address in enumerate((NIC, OTHER, THIRD)):
        tree.device(address, driver="igb").net(f"eth{number}", address)
    tree.net("lo").network({"eth0": [f"{LOCAL}/24", "2001:db8::7/64"]}, default="eth0")
    return tree


def sessions(tree: HostTree, connection: str | None = None) -> tuple[tuple[SshSession, ...], tuple[str, ...]]:
    """Return the sessions of a command, and what is not known of them."""
    environ = {} if connection is None else {"SSH_CONNECTION": connection}
    return read_sessions(attributes_of(tree), host_of(tree), environ)


def session(
    interface: str, *carriers: str, peer: str = PEER
) -> tuple[tuple[SshSession, ...], tuple[str, ...]]:
    """Return one session, of which all is known."""
    return (SshSession(peer, interface, tuple(at(carrier) for carrier in carriers)),), ()


def row(local: str, peer: str, inode: int, state: str = "01") -> str:
    """Return a line of /proc/net/tcp."""
    return (
        f"   0: {local}:0016 {peer}:D431 {state} 00000000:00000000 00:00000000 00000000  0  0 {inode} 1 0\n"
    )


def logged_in(tree: HostTree, server: str = "sshd", inode: int = 4711) -> HostTree:
    """Let the command run as root under a shell under sudo under a shell under a server."""
    tree.file("/proc/self/stat", "50 (vfioctl) R 40 50 40 0\n").process(40, ["bash"]).process(30, ["sudo"])
    tree.file("/proc/40/stat", "40 (bash) S 30 40 40 0\n").file("/proc/30/stat", "30 (su) S (x) S 20 1 1\n")
    tree.process(20, [server], {3: "/dev/null"}).file("/proc/20/stat", "20 (sshd) S 10 20 20 0\n")
    tree.link("/proc/20/fd/4", f"/proc/20/fd/socket:[{inode}]").process(10, ["sshd"], {3: "socket:[99]"})
    tree.file("/proc/10/stat", "10 (sshd) S 1 10 10 0\n").file("/proc/1/stat", "1 (systemd) S 0 1 1 0\n")
    return tree.process(1, ["systemd"])


def test_without_ssh_there_is_no_session(cards: HostTree) -> None:
    """At the console, and from a service."""
    assert sessions(cards) == sessions(cards, "") == ((), ())


def test_the_environment_says_where_the_session_is_from(cards: HostTree) -> None:
    """Its packets go through the device below the interface with the local address."""
    assert sessions(cards, f"{PEER} 54321 {LOCAL} 22") == session("eth0", NIC)
    assert sessions(cards, "2001:db8::1 54321 2001:db8::7 22") == session("eth0", NIC, peer="2001:db8::1")


def test_a_session_goes_through_bridge_vlan_and_bond_to_all_their_cards(cards: HostTree) -> None:
    """Whichever of them is given away, the session may end; a card that is in none of them may go."""
    cards.net("bond0").enslave("eth0", "bond0").enslave("eth1", "bond0").net("bond0.7").net("br0")
    cards.link("/sys/devices/virtual/net/bond0.7/lower_bond0", "/sys/devices/virtual/net/bond0")
    cards.upper("bond0", "bond0.7").enslave("bond0.7", "br0").network({"br0": [f"{LOCAL}/24"]}, default="br0")
    assert sessions(cards, f"{PEER} 54321 {LOCAL} 22") == session("br0", NIC, OTHER)


def test_interfaces_in_a_circle_end(cards: HostTree) -> None:
    """No kernel builds that; a recording may."""
    cards.net("br0").net("br1").enslave("br0", "br1").enslave("br1", "br0").enslave("eth2", "br0")
    cards.network({"br1": [f"{LOCAL}/24"]})
    assert sessions(cards, f"{PEER} 54321 {LOCAL} 22") == session("br1", THIRD)


def test_where_two_may_have_the_address_both_carry_the_session(cards: HostTree) -> None:
    """Procfs does not tell which; neither may be taken away without a word."""
    cards.network({"eth0": [f"{LOCAL}/24"], "eth1": ["192.0.2.8/24"]})
    found, unknown = sessions(cards, f"{PEER} 54321 {LOCAL} 22")
    assert [(one.interface, one.carriers) for one in found] == [("eth0", (at(NIC),)), ("eth1", (at(OTHER),))]
    assert unknown == ()


def test_an_address_that_no_route_explains_is_found_by_the_way_back(cards: HostTree) -> None:
    """An address alone in its network (/32), as in some clouds: the default route's interface has it."""
    cards.file("/proc/net/route", ROUTES + "".join(
        f"{name}\t{target}\t0\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n"
        for name, target, flags, metric, mask in (
            ("eth2", "006433C6", "0205", 0, "00FFFFFF"),
            ("eth0", "00000000", "0003", 200, "00000000"),
            ("eth1", "00000000", "0003", 100, "00000000"),
            ("eth2", "000400C0", "0001", 0, "00FEFFFF"),
            ("eth2", "x", "0001", 0, "00FFFFFF"),
        )
    ))  # fmt: skip
    assert sessions(cards, f"{PEER} 54321 {LOCAL} 22") == session("eth1", OTHER)


def test_an_address_on_no_device_is_found_by_the_way_back(cards: HostTree) -> None:
    """Routers have theirs on a dummy; of two ways the longer prefix is taken."""
    cards.net("dummy0").network({"dummy0": ["2001:db8:5::1/128"]})
    zero = "0" * 32
    rows = (
        f"{target} {length} {zero} 00 {zero} {metric} 00000001 00000000 {flags} {name}\n"
        for target, length, metric, flags, name in (
            (zero, "00", "00000400", "00000003", "eth0"),
            ("20010db8000900000000000000000000", "30", "00000400", "00000003", "eth2"),
            ("20010db8000900000000000000000000", "30", "00000100", "00000003", "eth1"),
            ("20010db8000900000000000000000000", "40", "00000100", "00000203", "lo"),
            ("20010db8000900000000000000000000", "fff", "00000100", "00000003", "lo"),
            ("x", "40", "00000100", "00000003", "lo"),
        )
    )
    cards.file("/proc/net/ipv6_route", "".join(rows))
    assert sessions(cards, "2001:db8:9::1 54321 2001:db8:5::1 22") == session(
        "eth1", OTHER, peer="2001:db8:9::1"
    )


def test_a_link_local_address_is_of_the_interface_that_is_said(cards: HostTree) -> None:
    """Every interface may have the same."""
    assert sessions(cards, "fe80::1%eth2 54321 fe80::2%eth2 22") == session("eth2", THIRD, peer="fe80::1")


def test_a_link_local_address_may_be_looked_up(cards: HostTree) -> None:
    """A socket does not say its interface."""
    cards.file("/proc/net/if_inet6", "fe800000000000000000000000000002 03 40 20 80     eth1\n")
    assert sessions(cards, "fe80::1 54321 fe80::2 22") == session("eth1", OTHER, peer="fe80::1")


@pytest.mark.parametrize(
    ("connection", "unknown"),
    [
        ("UNKNOWN 65535 UNKNOWN 65535", "the ssh session is not known: SSH_CONNECTION is 'UNKNOWN 65535"),
        ("127.0.0.1 5 127.0.0.1 22", "the ssh session from 127.0.0.1 arrives through lo, and which device"),
        ("::1 5 ::1 22", "the ssh session from ::1 arrives through lo, and which device carries that is not"),
        ("10.8.0.2 5 10.8.0.1 22", "the ssh session from 10.8.0.2 arrives through tun0, and which device"),
        ("198.51.100.9 5 203.0.113.1 22", "the ssh session from 198.51.100.9 arrives at 203.0.113.1, and no"),
    ],
)
def test_what_cannot_be_found_out_is_said(cards: HostTree, connection: str, unknown: str) -> None:
    """A tunnel, a session from this very host, an address translated on the way."""
    cards.net("tun0").network({"tun0": ["10.8.0.1/24"]})
    found, (doubt,) = sessions(cards, connection)
    assert doubt.startswith(unknown)
    assert [one.carriers for one in found if one.carriers] == []


@pytest.mark.parametrize("server", ["sshd", "sshd-session", "dropbear"])
def test_the_server_above_the_command_has_the_session(cards: HostTree, server: str) -> None:
    """Sudo takes the variable away (the parents stay); the listening server has no session."""
    logged_in(cards, server)
    cards.file(
        "/proc/net/tcp", HEAD + row("00000000", "00000000", 99, "0A") + row("070200C0", "096433C6", 4711)
    )
    assert sessions(cards) == session("eth0", NIC)


def test_a_server_of_both_families_shows_ipv4_in_ipv6(cards: HostTree) -> None:
    """As one does that systemd listens for; only what is established counts, and is its own."""
    wrapped = "0000000000000000FFFF0000"
    table = (
        row(f"{wrapped}070200C0", f"{wrapped}0A6433C6", 4711, "06"),
        row(f"{wrapped}070200C0", f"{wrapped}0B6433C6", 4712),
        row(f"{wrapped}070200C0", f"{wrapped}096433C6", 4711),
        "cut\n",
    )
    logged_in(cards).file("/proc/net/tcp6", HEAD + "".join(table))
    assert sessions(cards) == session("eth0", NIC)


def test_both_ways_lead_to_one_session(cards: HostTree) -> None:
    """It is not said twice; and what the variable says needs no socket."""
    logged_in(cards).file("/proc/net/tcp", HEAD + row("070200C0", "096433C6", 4711))
    assert sessions(cards, f"{PEER} 54321 {LOCAL} 22") == session("eth0", NIC)
    assert sessions(cards.remove("/proc/net/tcp"), f"{PEER} 54321 {LOCAL} 22") == session("eth0", NIC)


def test_a_variable_from_before_does_not_hide_the_session(cards: HostTree) -> None:
    """The environment of a shell may be older than what it runs in."""
    cards.network({"eth0": [f"{LOCAL}/24"], "eth1": ["203.0.113.5/24"]})
    logged_in(cards).file("/proc/net/tcp", HEAD + row("070200C0", "096433C6", 4711))
    found, unknown = sessions(cards, "203.0.113.9 54321 203.0.113.5 22")
    assert [one.interface for one in found] == ["eth1", "eth0"]
    assert unknown == ()


def test_a_server_whose_sockets_are_hidden_is_said(cards: HostTree) -> None:
    """There is a session, and without root it is not to be seen."""
    logged_in(cards).deny("/proc/20/fd")
    assert sessions(cards) == (
        (),
        ("the ssh session is not known: the server is process 20, and its sockets may not be read",),
    )


def test_a_server_without_a_tcp_connection_is_said(cards: HostTree) -> None:
    """A connection through vsock, or in another network namespace."""
    logged_in(cards)
    found, (doubt,) = sessions(cards)
    assert found == ()
    assert doubt.startswith("the ssh session is not known: the server is process 20, and it is none of TCP")


def test_parents_in_a_circle_end(cards: HostTree) -> None:
    """Nor does a process without a parent have one."""
    cards.file("/proc/self/stat", "5 (x) S 4 0\n").file("/proc/4/stat", "4 (y) S 3 0\n")
    cards.file("/proc/3/stat", "3 (z) S 4 0\n")
    assert list(_parents(attributes_of(cards))) == [4, 3]
    assert list(_parents(attributes_of(cards.file("/proc/3/stat", "3")))) == [4, 3]


def test_the_parents_of_this_very_process() -> None:
    """From the nearest on."""
    first, *_ = _parents(Attributes(Files(HostRoot())))
    assert first == os.getppid()


@given(st.ip_addresses())
def test_the_kernels_spelling_of_addresses(address: IPv4Address | IPv6Address) -> None:
    """In words of the host's byte order."""
    words = [address.packed[start : start + 4] for start in range(0, len(address.packed), 4)]
    text = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
    assert _number(f"{text}:0016") == (getattr(address, "ipv4_mapped", None) or address)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_of_another_process_is_found(family: socket.AddressFamily) -> None:
    """On the running system: by its open files and the kernel's table."""
    loopback = "127.0.0.1" if family is socket.AF_INET else "::1"
    with socket.create_server((loopback, 0), family=family) as server, socket.socket(family) as client:
        client.connect(server.getsockname())
        accepted, _ = server.accept()
        with accepted, subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[accepted.fileno()]
        ) as holder:  # fmt: skip
            attributes = Attributes(Files(HostRoot()))
            inodes = _sockets(attributes, holder.pid)
            path = "/proc/net/tcp" if family is socket.AF_INET else "/proc/net/tcp6"
            (found,) = _connections(attributes, path, inodes & {str(os.fstat(accepted.fileno()).st_ino)})
            holder.communicate(b"\n")
    assert str(found.peer) == str(found.local) == loopback
