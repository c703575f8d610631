from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.model.factory import at, make_device, make_group, make_port
from tests.plugin.factory import AUDIO, GPU, NIC, card, config, given, ids, machine, seeing, the_item
from vfioctl.errors import UsageError
from vfioctl.model.device import MdevType, PhysicalFunction, VirtualFunction
from vfioctl.model.host import MdevInstance, Unread
from vfioctl.model.usb import UsbDevice
from vfioctl.plugin.condition import REASONS
from vfioctl.plugin.config import default_config
from vfioctl.plugin.resources import LeftOut, Tie, left_out, offers, refuse_ties, sort_out
from vfioctl.plugin.sight import Sight, unknown_node

if TYPE_CHECKING:
    from vfioctl.model.host import Host

UUID, OTHER = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"
SEEN = seeing()


def reasons(host: Host, table: str, **seen: Any) -> list[str | None]:  # noqa: ANN401 - as `seeing` takes them
    """Return the reasons of the items of one resource."""
    (offer,) = offers(host, config(table), sight=seeing(**seen))
    return [item.reason for item in offer.items]


# Without a file


def test_without_a_file_every_endpoint_on_a_vfio_driver_is_offered_under_its_ids() -> None:
    """`<domain>/<vendor>_<device>`, one resource for each model."""
    gpu, audio = card(1, 1)
    variant = given("0000:03:00.1", 3, vendor_id=0x15B3, device_id=0x101E, driver="mlx5_vfio_pci")
    host = machine(gpu, audio, variant, make_device("0000:04:00.0", driver="e1000e", iommu_group=4))

    found = offers(host, default_config("example.com"), sight=SEEN)

    assert [(offer.resource, ids(offer)) for offer in found] == [
        ("example.com/10de_1aef", [AUDIO]),
        ("example.com/10de_2204", [GPU]),
        ("example.com/15b3_101e", ["0000:03:00.1"]),
    ]


def test_without_a_file_others_of_the_same_model_are_named_as_left_out() -> None:
    """What to type to have them, too."""
    host = machine(given(NIC, 2), make_device("0000:03:00.0", driver="igb", iommu_group=3))

    assert left_out(host, default_config(), SEEN) == (
        LeftOut(
            "0000:03:00.0", "vfioctl.io/8086_10e8", "on driver igb; to offer it: vfioctl bind 0000:03:00.0"
        ),
    )


# Units


def test_an_item_is_a_device_a_slot_or_a_group() -> None:
    """The lowest address stands for all; a bridge and the board's own functions are no part of it."""
    gpu, audio = card(1, 1)
    nic = given("0000:01:01.0", 1)
    port = make_port("0000:00:01.0", iommu_group=1)
    smbus = make_device("0000:00:1f.4", class_code=0x0C0500, iommu_group=1)
    host = machine(port, gpu, audio, nic, smbus)
    select = 'select = ["class:gpu", "class:audio"]\n'

    device, slot, group = (
        offers(host, config(f'{select}unit = "{unit}"'), sight=SEEN) for unit in ("device", "slot", "group")
    )

    assert ids(device[0]) == [GPU, AUDIO]
    assert the_item(slot).members == (at(GPU), at(AUDIO))
    assert the_item(group).id == GPU
    assert the_item(group).members == (at(GPU), at(AUDIO), at("0000:01:01.0"))


def test_a_unit_takes_what_is_not_selected_but_not_what_is_excluded() -> None:
    """The audio function belongs to the card; exclude is how to say that it does not."""
    host = machine(*card(1, 1))

    whole = offers(host, config('select = ["class:gpu"]\nunit = "slot"'), sight=SEEN)
    without = offers(
        host, config('select = ["class:gpu"]\nexclude = ["class:audio"]\nunit = "slot"'), sight=SEEN
    )

    assert the_item(whole).members == (at(GPU), at(AUDIO))
    assert the_item(without).members == (at(GPU),)


@pytest.mark.parametrize("unit", ["slot", "group"])
def test_a_unit_with_a_function_on_a_host_driver_is_left_out_whole(unit: str) -> None:
    """Half a card is no card: the reason names the function and what to type."""
    gpu, _ = card(1, 1)
    audio = make_device(AUDIO, driver="snd_hda_intel", iommu_group=1)
    host = machine(gpu, audio)

    found = sort_out(host, config(f'select = ["class:gpu"]\nunit = "{unit}"'), sight=SEEN)

    assert ids(found.offers[0]) == []
    assert found.left_out == (
        LeftOut(
            GPU,
            "vfioctl.io/r0",
            f"{AUDIO} of it: on driver snd_hda_intel; to offer it: vfioctl bind {AUDIO}",
        ),
    )


def test_six_identical_cards_in_one_group_are_six_items() -> None:
    """P1, P3, P9: an item is its address, never its group or model."""
    cards = [given(f"0000:0{number}:00.0", 7) for number in range(1, 7)]
    host = machine(*cards)

    as_devices = offers(host, config('select = ["8086:10e8"]'), sight=SEEN)
    as_group = offers(host, config('select = ["8086:10e8"]\nunit = "group"'), sight=SEEN)

    assert ids(as_devices[0]) == [str(one.address) for one in cards]
    assert {item.group for item in as_devices[0].items} == {7}
    assert the_item(as_group).members == tuple(one.address for one in cards)


def test_refuse_keeps_a_group_back_that_is_spread_over_items() -> None:
    """With the reason; a group of its own is offered."""
    host = machine(given("0000:01:00.0", 7), given("0000:02:00.0", 7), given("0000:03:00.0", 8))

    found = sort_out(host, config('select = ["8086:10e8"]\nshared_group = "refuse"'), sight=SEEN)

    assert ids(found.offers[0]) == ["0000:03:00.0"]
    assert {left.why for left in found.left_out} == {
        "its IOMMU group 7 is spread over 2 items: 0000:01:00.0 0000:02:00.0"
    }


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [((None, None), ()), ((1, None), (1,)), ((1, 0), (0, 1)), ((0, 0), (0,)), ((-1, 0), (0,))],
)
def test_the_numa_nodes_of_a_unit_are_those_of_its_functions(
    nodes: tuple[int | None, int | None], expected: tuple[int, ...]
) -> None:
    """Their union; -1 is no node, and never node 0."""
    gpu, audio = (one._replace(numa_node=node) for one, node in zip(card(1, 1), nodes, strict=True))

    item = the_item(offers(machine(gpu, audio), config('select = ["01:00"]\nunit = "slot"'), sight=SEEN))

    assert item.numa_nodes == expected


# Who gets what


def test_the_higher_priority_has_a_device_and_the_other_says_so() -> None:
    """Whether or not it can offer it: nothing moves from one resource to another with a driver."""
    gpu, audio = card(1, 1)
    unbound = gpu._replace(driver="nvidia")
    tables = config('select = ["class:gpu", "class:audio"]', 'select = ["class:gpu"]\npriority = 1')

    for one in (gpu, unbound):
        found = sort_out(machine(one, audio), tables, sight=SEEN)

        assert ids(found.offers[0]) == [AUDIO]
        assert ids(found.offers[1]) == ([GPU] if one is gpu else [])
        assert found.left_out[0] == LeftOut(
            GPU, "vfioctl.io/r0", "it belongs to vfioctl.io/r1, which has priority 1"
        )
        assert found.ties == ()


def test_a_tie_is_refused_at_the_start_and_gives_the_device_to_nobody_later() -> None:
    """Two of three resources select one device with the same priority."""
    host = machine(*card(1, 1))
    tables = config(
        'select = ["class:gpu"]', 'select = ["10de:*"]', 'select = ["class:audio"]\npriority = -1'
    )

    found = sort_out(host, tables, sight=SEEN)

    assert [ids(offer) for offer in found.offers] == [[], [AUDIO], []]
    assert found.ties == (Tie(GPU, ("vfioctl.io/r0", "vfioctl.io/r1")),)
    with pytest.raises(UsageError, match=f"{GPU} is selected by vfioctl.io/r0 and vfioctl.io/r1") as caught:
        refuse_ties(found)
    assert "priority" in caught.value.hint
    refuse_ties(sort_out(host, config('select = ["10de:*"]'), sight=SEEN))


def test_a_unit_of_which_another_resource_has_a_part_is_left_out() -> None:
    """The card is not whole then."""
    host = machine(*card(1, 1))
    tables = config('select = ["class:gpu"]\nunit = "slot"', 'select = ["class:audio"]\npriority = 1')

    found = sort_out(host, tables, sight=SEEN)

    assert [ids(offer) for offer in found.offers] == [[], [AUDIO]]
    assert found.left_out[0].why == f"{AUDIO} belongs to vfioctl.io/r1, which has priority 1"


# What cannot be offered


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"driver": "nvme"}, "on driver nvme; to offer it: vfioctl bind 0000:02:00.0"),
        ({"driver": None}, "on no driver; to offer it: vfioctl bind 0000:02:00.0"),
        ({"driver": None, "unbinding": True}, "its driver is unknown"),
        ({"driver": None, "class_code": 0x060100}, "it is an ISA bridge, part of the board"),
        ({"driver": "e1000e", "alive": False}, "it does not answer: its configuration space reads all ones"),
        (
            {"driver": "vfio-pci", "vfio_group_node": "/dev/vfio/noiommu-2"},
            "no IOMMU protects the host from it",
        ),
        (
            {"driver": "ixgbe", "sriov": PhysicalFunction(8, (at("0000:02:10.0"),))},
            "it has 1 virtual function enabled; vfio-pci refuses it until there are none",
        ),
    ],
)
def test_what_is_left_out_and_why(fields: dict[str, Any], why: str) -> None:
    """The reason is what an administrator can act on."""
    host = machine(make_device(NIC, **({"iommu_group": 2} | fields)))

    (left,) = left_out(host, config('select = ["02:00.0"]'), SEEN)

    assert left.id == NIC
    assert left.why.startswith(why)


def test_a_driver_that_could_not_be_read_is_unknown() -> None:
    """It is not said to have none."""
    unread = Unread("/sys/x/driver", "EACCES", at(NIC), "driver")
    host = machine(make_device(NIC, iommu_group=2), unread=(unread,))

    assert [left.why for left in left_out(host, config('select = ["02:00.0"]'), SEEN)] == [
        "its driver is unknown"
    ]


def test_bridges_among_what_is_selected_are_not_meant_unless_alone() -> None:
    """`group:2` means its endpoints; a root port by mistake is answered."""
    host = machine(make_port("0000:00:01.0", iommu_group=2), given(NIC, 2))

    group = sort_out(host, config('select = ["group:2"]\nunit = "group"'), sight=SEEN)
    port = sort_out(host, config('select = ["00:01.0"]'), sight=SEEN)

    assert (ids(group.offers[0]), group.left_out) == ([NIC], ())
    assert [left.why for left in port.left_out] == ["it is a bridge; bridges stay with the host"]


# What is offered and not fit


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"alive": None}, None),
        # An idle device sleeps in D3hot, and one in D3cold that answers is asleep as well (K45).
        ({"power_state": "D3hot"}, None),
        ({"power_state": "D3cold"}, None),
        ({"alive": False}, "config-space-dead"),
        ({"alive": False, "power_state": "D3cold"}, "power-d3cold"),
        ({"vfio_group_node": None}, "no-node"),
    ],
)
def test_the_reason_of_a_function(fields: dict[str, Any], reason: str | None) -> None:
    """A word of the closed list, or none."""
    assert reasons(machine(given(NIC, 2, **fields)), 'select = ["02:00.0"]') == [reason]
    assert reason is None or reason in REASONS


@pytest.mark.parametrize(
    ("backend", "cdev", "iommufd", "missing", "reason"),
    [
        ("auto", None, False, "", None),
        ("auto", "/dev/vfio/devices/vfio0", True, "", None),
        ("auto", "/dev/vfio/devices/vfio0", True, "/dev/vfio/devices/vfio0", "no-node"),
        ("auto", None, True, "/dev/vfio/vfio", "no-node"),
        ("auto", None, True, "/dev/vfio/2", "no-node"),
        ("legacy", "/dev/vfio/devices/vfio0", True, "/dev/vfio/devices/vfio0", None),
        ("iommufd", "/dev/vfio/devices/vfio0", True, "", None),
        ("iommufd", "/dev/vfio/devices/vfio0", True, "/dev/vfio/2", None),
        ("iommufd", None, True, "", "no-node"),
        ("iommufd", "/dev/vfio/devices/vfio0", False, "", "no-node"),
        ("iommufd", "/dev/vfio/devices/vfio0", True, "/dev/iommu", "no-node"),
    ],
)
def test_every_node_that_the_backend_needs_must_be_there(
    backend: str, cdev: str | None, iommufd: bool, missing: str, reason: str | None
) -> None:
    """P54: a node is asked for before it is handed out."""
    host = machine(given(NIC, 2, vfio_cdev=cdev), iommufd=iommufd)

    assert reasons(host, f'select = ["02:00.0"]\nbackend = "{backend}"', missing=[missing]) == [reason]


def test_a_group_with_a_member_of_the_host_is_not_viable() -> None:
    """P8, P11: it would fail when the VM starts; a driverless member or a bridge on pcieport is no matter."""
    nic = given(NIC, 2)
    port = make_port("0000:00:01.0", iommu_group=2)

    assert reasons(
        machine(port, nic, make_device("0000:02:00.1", iommu_group=2)), 'select = ["02:00.0"]'
    ) == [None]
    assert reasons(
        machine(nic, make_device("0000:02:00.1", iommu_group=2, driver="igb")), 'select = ["02:00.0"]'
    ) == ["group-not-viable"]


def test_a_group_that_could_not_be_judged_is_not_fine() -> None:
    """Unknown is never shown as healthy."""
    nic = given(NIC, 2)
    unread = make_group(2, [nic, make_device("0000:02:00.1")])

    assert reasons(machine(nic, groups=(unread,)), 'select = ["02:00.0"]') == ["group-not-viable"]


@pytest.mark.parametrize("name", [AUDIO, GPU])
def test_what_is_cordoned_is_offered_as_unhealthy(name: str) -> None:
    """By the item's id, or by any address in it; hardware's reasons come first."""
    tables = config('select = ["class:gpu"]\nunit = "slot"')

    cordoned = offers(machine(*card(1, 1)), tables, frozenset({name}), SEEN)
    dead = offers(machine(*card(1, 1, alive=False)), tables, frozenset({name}), SEEN)

    assert the_item(cordoned).reason == "cordoned"
    assert the_item(dead).reason == "config-space-dead"


@pytest.mark.parametrize(
    ("bind", "driver", "reason"),
    [
        ("at-start", "vfio-pci", None),
        ("at-start", "e1000e", "driver-changed"),
        ("on-demand", "vfio-pci", None),
        ("on-demand", "e1000e", None),
    ],
)
def test_what_would_be_bound_is_offered(bind: str, driver: str, reason: str | None) -> None:
    """On demand it is fit while the host has it; at the start it is when it is bound."""
    host = machine(given(NIC, 2, driver=driver, vfio_group_node="/dev/vfio/2" if reason is None else None))

    assert reasons(host, f'select = ["02:00.0"]\nbind = "{bind}"')[0] == reason


def test_on_demand_needs_a_group_that_would_be_viable() -> None:
    """A member that cannot be bound stands in the way."""
    nic = make_device(NIC, driver="e1000e", iommu_group=2)
    table = 'select = ["02:00.0"]\nbind = "on-demand"'
    pf = make_device(
        "0000:02:00.1", driver="ixgbe", iommu_group=2, sriov=PhysicalFunction(4, (at("0000:02:10.0"),))
    )

    assert reasons(machine(nic, make_device("0000:02:00.1", driver="igb", iommu_group=2)), table) == [None]
    assert reasons(machine(nic, pf), table) == ["group-not-viable"]


# Virtual functions


def test_virtual_functions_are_chosen_by_their_index() -> None:
    """P19: the n-th VF of an interface, which the physical function keeps."""
    vfs = [at(f"0000:02:10.{number}") for number in range(4)]
    pf = make_device(
        NIC, driver="ixgbe", iommu_group=2, net_interfaces=("ens1f0",), sriov=PhysicalFunction(4, tuple(vfs))
    )
    members = [
        given(str(vf), 10 + number, sriov=VirtualFunction(at(NIC), number)) for number, vf in enumerate(vfs)
    ]

    found = offers(machine(pf, *members), config('select = ["vfs-of:ens1f0#1-2"]'), sight=SEEN)

    assert ids(found[0]) == ["0000:02:10.1", "0000:02:10.2"]


# Mediated devices


def vgpus() -> Host:
    """Return a GPU with two mediated devices of two types."""
    kinds = (MdevType("nvidia-63", "GRID T4-1Q", None, 1), MdevType("nvidia-64", "GRID T4-2Q", None, 1))
    gpu = make_device(GPU, driver="nvidia", class_code=0x030200, iommu_group=1, mdev_types=kinds, numa_node=1)
    return machine(
        gpu,
        mdevs=(MdevInstance(UUID, at(GPU), "nvidia-63", 40), MdevInstance(OTHER, at(GPU), "nvidia-64", 41)),
    )


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('select = ["class:gpu"]', [UUID, OTHER]),
        (f'select = ["mdev:{OTHER}"]', [OTHER]),
        (f'select = ["mdev:{OTHER},numa:0"]', []),
        ('select = ["01:00.0"]\ntypes = ["nvidia-63"]', [UUID]),
        ('select = ["01:00.0"]\ntypes = ["GRID T4-2Q"]', [OTHER]),
        (f'select = ["01:00.0"]\nexclude = ["mdev:{UUID}"]', [OTHER]),
    ],
)
def test_mediated_devices_are_chosen_by_uuid_parent_or_type(table: str, expected: list[str]) -> None:
    """Each is an item of its own group; its parent stays with the host."""
    found = sort_out(vgpus(), config(f'kind = "mdev"\n{table}'), sight=SEEN)

    assert ids(found.offers[0]) == expected
    assert all(item.numa_nodes == (1,) and item.reason is None for item in found.offers[0].items)
    assert [item.group for item in found.offers[0].items] == [{UUID: 40, OTHER: 41}[one] for one in expected]


def test_a_mediated_device_without_group_or_node() -> None:
    """The one cannot be offered, the other is not fit."""
    host = vgpus()
    lonely = host._replace(mdevs=(host.mdevs[0]._replace(iommu_group=None),))
    table = 'kind = "mdev"\nselect = ["class:gpu"]'

    assert [left.why for left in left_out(lonely, config(table), SEEN)] == ["it has no IOMMU group"]
    assert reasons(host, table, missing=["/dev/vfio/40"]) == ["no-node", None]


# USB


def plugged(port: str, device: int | None = 5, **fields: Any) -> UsbDevice:  # noqa: ANN401 - fields of a named tuple
    """Return a security key at a port of bus 1."""
    settled: dict[str, Any] = {
        "vendor_id": 0x1050,
        "product_id": 0x0407,
        "device_class": 0,
        "controller": at(NIC),
    }
    return UsbDevice(1, port, device, **(settled | fields))


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ('"usb:1050:0407"', ["1-2.5", "1-3"]),
        ('"usb:1-2.5"', ["1-2.5"]),
        ('"usb:1050:0407,numa:1"', ["1-2.5", "1-3"]),
        ('"usb:1050:0407,numa:0"', []),
        ('"usb:046d:c52b"', []),
    ],
)
def test_usb_devices_are_chosen_by_id_or_port(select: str, expected: list[str]) -> None:
    """P21: the port is the identity, the controller's NUMA node the device's; a hub stays."""
    host = machine(make_device(NIC, driver="xhci_hcd", numa_node=1))
    usb = (plugged("2", device_class=9), plugged("2.5"), plugged("3", device=6))

    (offer,) = offers(host, config(f'kind = "usb"\nselect = [{select}]'), sight=seeing(usb))

    assert ids(offer) == expected
    assert {item.numa_nodes for item in offer.items} <= {(1,)}


def test_usb_devices_that_cannot_be_had() -> None:
    """A hub, one without a number, one without a node, and a host that does not say."""
    table = 'kind = "usb"\nselect = ["usb:1050:0407"]'
    usb = (plugged("1", device_class=9), plugged("2", device=None), plugged("3"))

    found = sort_out(machine(), config(table), sight=seeing(usb, missing=["/dev/bus/usb/001/005"]))

    assert [(left.id, left.why) for left in found.left_out] == [
        ("1-1", "it is a hub; hubs stay with the host"),
        ("1-2", "its number on the bus could not be read"),
    ]
    assert the_item(found.offers).reason == "no-node"
    (silent,) = left_out(machine(), config(table), seeing(usb=None))
    assert silent.why == "this host does not say which USB devices it has"


# Nodes


def test_a_node_is_offered_as_often_as_it_says() -> None:
    """`name#n`, all of the paths each time; not fit where one of them is missing."""
    tables = config(
        'name = "vfioctl.io/kvm"\nkind = "node"\npaths = ["/dev/kvm", "/dev/vhost-net"]\ncount = 3'
    )

    (there,) = offers(machine(), tables, sight=SEEN)
    (missing,) = offers(machine(), tables, sight=seeing(missing=["/dev/vhost-net"]))

    assert ids(there) == ["kvm#0", "kvm#1", "kvm#2"]
    assert {item.reason for item in there.items} == {None}
    assert {item.reason for item in missing.items} == {"no-node"}


def test_of_a_snapshot_nobody_knows_which_nodes_there_are() -> None:
    """A PCI function is judged by sysfs then; a plain node is left out, neither absent nor fine."""
    sight = Sight((), unknown_node)
    tables = config('select = ["02:00.0"]', 'kind = "node"\npaths = ["/dev/kvm"]')

    found = sort_out(machine(given(NIC, 2)), tables, sight=sight)

    assert [item.reason for item in found.offers[0].items] == [None]
    assert [left.why for left in found.left_out] == ["whether /dev/kvm is there cannot be told"]
