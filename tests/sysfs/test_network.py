from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tree import HostTree
from tests.sysfs.reading import attributes_of, device_of, host_of, uses_of
from vfioctl.model.usage import UsageKind
from vfioctl.sysfs.network import _spell_v6, read_network

NIC, OTHER = "0000:01:00.0", "0000:02:00.0"
UP, ADDRESS, ROUTE = UsageKind.INTERFACE, UsageKind.ADDRESS, UsageKind.ROUTE
MASTER, UPPER = UsageKind.MASTER, UsageKind.UPPER
HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
ZERO = "0" * 32


@pytest.fixture
def cards(tree: HostTree) -> HostTree:
    """Return a machine with two network cards, both up."""
    tree.device(NIC, driver="igb").device(OTHER, driver="igb")
    return tree.net("eth0", NIC).net("eth1", OTHER).net("lo")


def test_a_device_lists_its_interfaces(cards: HostTree) -> None:
    """A card may have several; virtual ones belong to no device."""
    cards.net("eth0np1", NIC, up=False)
    assert device_of(cards, NIC).net_interfaces == ("eth0", "eth0np1")
    assert uses_of(cards, NIC) == [(UP, "eth0 is up")]


def test_an_interface_that_is_down_is_no_use(tree: HostTree) -> None:
    """Nor is one whose flags cannot be read, which is said."""
    tree.device(NIC).net("eth0", NIC, up=False).net("eth1", NIC).deny(f"{tree.path(NIC)}/net/eth1/flags")
    assert uses_of(tree, NIC) == []
    assert [note.path.rsplit("/", 2)[1:] for note in host_of(tree).unread] == [["eth1", "flags"]]


def test_addresses_are_matched_with_interfaces_by_their_networks(cards: HostTree) -> None:
    """Procfs lists addresses without their interface; the longest connected network that fits has it."""
    cards.network({"eth0": ["10.0.0.5/8", "2001:db8::5/64"], "eth1": ["10.1.0.5/16", "192.0.2.7/24"]})
    assert uses_of(cards, NIC) == [
        (UP, "eth0 is up"),
        (ADDRESS, "eth0 has the address 10.0.0.5"),
        (ADDRESS, "eth0 has the address 2001:db8::5"),
    ]
    assert uses_of(cards, OTHER) == [
        (UP, "eth1 is up"),
        (ADDRESS, "eth1 has the address 10.1.0.5"),
        (ADDRESS, "eth1 has the address 192.0.2.7"),
    ]


def test_two_interfaces_in_one_network_may_both_have_the_address(cards: HostTree) -> None:
    """Which of them has it procfs does not say: it is better to name both than the wrong one."""
    cards.network({"eth0": ["192.0.2.7/24"], "eth1": ["192.0.2.8/24"]})
    for address, name in ((NIC, "eth0"), (OTHER, "eth1")):
        assert (ADDRESS, f"{name} has the address 192.0.2.7") in uses_of(cards, address)
        assert (ADDRESS, f"{name} has the address 192.0.2.8") in uses_of(cards, address)


def test_a_network_behind_a_gateway_is_not_connected(cards: HostTree) -> None:
    """Its route says where packets go, not where an address is; one that is down says nothing."""
    cards.network({"eth0": ["10.0.0.5/8"]})
    route = f"{HEAD}eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"
    route += "eth1\t0000000A\t0100A8C0\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    route += "eth1\t0000000A\t00000000\t0000\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    found = read_network(attributes_of(cards.file("/proc/net/route", route)), ()).addresses
    assert found == {"eth0": ("10.0.0.5",), "lo": ("::1",)}


def test_link_local_addresses_are_nobodys_concern(cards: HostTree) -> None:
    """Every interface that is up has one."""
    cards.network({"eth0": ["fe80::1/64"]})
    assert uses_of(cards, NIC) == [(UP, "eth0 is up")]


@pytest.mark.parametrize(
    ("addresses", "families"),
    [
        (["192.0.2.7/24"], "IPv4"),
        (["2001:db8::7/64"], "IPv6"),
        (["192.0.2.7/24", "2001:db8::7/64"], "IPv4 and IPv6"),
    ],
)
def test_the_default_route_is_a_use(cards: HostTree, addresses: list[str], families: str) -> None:
    """Of either family; once, however many there are."""
    cards.network({"eth0": addresses}, default="eth0")
    routes = [detail for kind, detail in uses_of(cards, NIC) if kind is ROUTE]
    assert routes == [f"the default route ({families}) leaves through eth0"]
    assert all(kind is not ROUTE for kind, _ in uses_of(cards, OTHER))


def test_routes_that_reject_or_are_down_are_no_default(cards: HostTree) -> None:
    """An unreachable default has the flag 0x200; IPv6 has one on lo always."""
    cards.file("/proc/net/route", f"{HEAD}eth0\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n")
    rows = [
        f"{ZERO} 00 {ZERO} 00 {ZERO} 00000400 1 0 00200200     eth0",
        f"{ZERO} 00 {ZERO} 00 {ZERO} 00000400 1 0 00000002     eth0",
        f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 1 0 00000001       lo",
    ]
    cards.file("/proc/net/ipv6_route", "".join(f"{row}\n" for row in rows))
    network = read_network(attributes_of(cards), ())
    assert network.default_routes == {}


def test_several_default_routes_of_one_family_count_once(cards: HostTree) -> None:
    """Router advertisements add one per router."""
    row = f"{ZERO} 00 {ZERO} 00 {ZERO} 00000400 1 0 00000003     eth0\n"
    cards.file("/proc/net/ipv6_route", row * 3)
    assert read_network(attributes_of(cards), ()).default_routes == {"eth0": ("IPv6",)}


def test_what_carries_a_bond_a_bridge_and_a_vlan_carries_their_addresses(cards: HostTree) -> None:
    """The default route may leave three interfaces above the card."""
    cards.net("bond0").net("bond0.5").net("br0")
    cards.enslave("eth0", "bond0").enslave("eth1", "bond0").upper("bond0", "bond0.5").enslave(
        "bond0.5", "br0"
    )
    cards.network({"br0": ["192.0.2.7/24"]}, default="br0")
    for address, name in ((NIC, "eth0"), (OTHER, "eth1")):
        assert uses_of(cards, address) == [
            (UP, f"{name} is up"),
            (MASTER, f"{name} is a port of bond0"),
            (ADDRESS, f"br0 (above {name}) has the address 192.0.2.7"),
            (ROUTE, f"the default route (IPv4) leaves through br0 (above {name})"),
        ]


def test_an_interface_built_on_a_card_is_a_use(cards: HostTree) -> None:
    """A VLAN or macvlan, without its being a master."""
    cards.net("eth0.7").upper("eth0", "eth0.7").network({"eth0.7": ["192.0.2.7/24"]})
    assert uses_of(cards, NIC) == [
        (UP, "eth0 is up"),
        (UPPER, "eth0.7 is built on eth0"),
        (ADDRESS, "eth0.7 (above eth0) has the address 192.0.2.7"),
    ]


def test_a_port_of_a_switch_in_software_is_a_use(cards: HostTree) -> None:
    """Also where the master itself is not among the interfaces."""
    path = f"{cards.path(NIC)}/net/eth0"
    cards.link(f"{path}/master", "/sys/devices/virtual/net/ovs-system")
    assert uses_of(cards, NIC)[1:] == [(MASTER, "eth0 is a port of ovs-system")]


def test_interfaces_above_each_other_in_a_circle_end(cards: HostTree) -> None:
    """No kernel builds that; a recording may."""
    cards.upper("eth0", "eth1").upper("eth1", "eth0")
    assert (UPPER, "eth1 is built on eth0") in uses_of(cards, NIC)


def test_the_file_among_the_interfaces_is_none(cards: HostTree) -> None:
    """With a bond there is /sys/class/net/bonding_masters, a plain file."""
    cards.file("/sys/class/net/bonding_masters", "bond0\n")
    assert host_of(cards).unread == ()
    assert device_of(cards, NIC).net_interfaces == ("eth0",)


@pytest.mark.parametrize(
    "row",
    [
        "eth0",
        "eth0\t00000000\t00000000\tzz\t0\t0\t0\t00000000",
        "eth0\t100000000\t0\t1\t0\t0\t0\t00000000",
        "eth0\t-1\t0\t1\t0\t0\t0\t00000000",
        "eth0\t0\t0\t1\t0\t0\t0",
    ],
)
def test_a_malformed_route_is_passed_over(cards: HostTree, row: str) -> None:
    """One odd line of a recording never empties the machine."""
    cards.file("/proc/net/route", f"{HEAD}{row}\n").file("/proc/net/ipv6_route", f"{row}\n")
    cards.file("/proc/net/if_inet6", f"{row}\n{'g' * 32} 02 40 00 80 eth0\n")
    assert read_network(attributes_of(cards), ()).default_routes == {}


def test_an_address_that_is_none_is_shown_as_it_is_or_not_at_all(cards: HostTree) -> None:
    """Nothing is made up."""
    cards.file(
        "/proc/net/fib_trie", "|-- what\n/32 host LOCAL\n|-- 1.2.3.999\n/32 host LOCAL\n/32 host LOCAL\n"
    )
    cards.file("/proc/net/route", f"{HEAD}eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n")
    cards.file("/proc/net/if_inet6", f"{'g' * 32} 02 40 00 80 eth0\n")
    assert read_network(attributes_of(cards), ()).addresses == {"eth0": ("g" * 32,)}


@given(st.text("0123456789abcdefg |-./:\t\nhostLOCAL", max_size=200))
def test_no_content_of_the_tables_is_an_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Recordings are from strangers."""
    tree = HostTree(tmp_path_factory.mktemp("net") / "host").file("/proc/net/route", f"{HEAD}{text}")
    for name in ("fib_trie", "if_inet6", "ipv6_route"):
        tree.file(f"/proc/net/{name}", text)
    read_network(attributes_of(tree), ())


@given(st.lists(st.sampled_from([0, 0, 0, 1, 0xFE80, 0xFFFF]), min_size=8, max_size=8))
def test_an_address_is_spelled_as_everybody_does(words: list[int]) -> None:
    """As ipaddress does it, which is not imported for it."""
    number = sum(word << 16 * (7 - at) for at, word in enumerate(words))

    assert _spell_v6(f"{number:032x}") == str(IPv6Address(number))
