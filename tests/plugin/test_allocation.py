from __future__ import annotations

import json
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from tests.model.factory import at, make_device
from tests.plugin.factory import AUDIO, GPU, NIC, card, config, given, machine, seeing
from tests.plugin.test_resources import OTHER, UUID, plugged, vgpus
from vfioctl.plugin.allocation import Allocations, allocate
from vfioctl.plugin.config import default_config
from vfioctl.plugin.resources import offers
from vfioctl.plugin.values import Denied, Grant

if TYPE_CHECKING:
    from vfioctl.model.host import Host
    from vfioctl.plugin.config import Config
    from vfioctl.plugin.sight import Sight

SEEN = seeing()
USB = (plugged("2.5", device=17), plugged("10", device=4))


def allocated(host: Host, configured: Config, ids: list[str], sight: Sight = SEEN) -> Grant | Denied:
    """Allocate items of the first resource, as they are offered on the same host."""
    offer = offers(host, configured, sight=sight)[0]
    return allocate(host, configured, offer, ids, sight)


def granted(host: Host, configured: Config, ids: list[str], sight: Sight = SEEN) -> Grant:
    """Do so and expect that it is granted."""
    grant = allocated(host, configured, ids, sight)
    assert isinstance(grant, Grant), grant
    return grant


def paths(grant: Grant) -> list[str]:
    """Return the nodes of a grant."""
    assert all(node.host_path == node.container_path and node.permissions == "rw" for node in grant.nodes)
    return [node.host_path for node in grant.nodes]


FOUR = machine(*(given(f"0000:{bus:02x}:00.0", bus) for bus in (0x65, 0x66, 0x0A, 0xE1)))


@pytest.mark.parametrize(
    ("name", "ids", "variable", "value"),
    [
        ("vfioctl.io/t4", ["0000:65:00.0"], "PCI_RESOURCE_VFIOCTL_IO_T4", "0000:65:00.0"),
        (
            "vfioctl.io/gpu-a",
            ["0000:66:00.0", "0000:65:00.0"],
            "PCI_RESOURCE_VFIOCTL_IO_GPU-A",
            "0000:65:00.0,0000:66:00.0",
        ),
        (
            "my-org.example.com/A.b_C",
            ["0000:e1:00.0", "0000:0a:00.0", "0000:66:00.0"],
            "PCI_RESOURCE_MY-ORG_EXAMPLE_COM_A_B_C",
            "0000:0a:00.0,0000:66:00.0,0000:e1:00.0",
        ),
    ],
)
def test_what_kubevirt_reads_of_pci_functions(name: str, ids: list[str], variable: str, value: str) -> None:
    """The requested ids only, full lower case, by address, no blanks, no last comma."""
    grant = granted(FOUR, config(f'name = "{name}"\nselect = ["8086:10e8"]'), ids)

    assert grant.envs == ((variable, value),)


NAMES = {
    "vfioctl.io/t4": "VFIOCTL_IO_T4",
    "vfioctl.io/gpu-a": "VFIOCTL_IO_GPU-A",
    "my-org.example.com/A.b_C-1": "MY-ORG_EXAMPLE_COM_A_B_C-1",
    "a.b.c.d/TU104GL_Tesla_T4": "A_B_C_D_TU104GL_TESLA_T4",
    "x.y/1.2.3-rc.4": "X_Y_1_2_3-RC_4",
}
"""Upper case, and only '/' and '.' become '_': pkg/util ResourceNameToEnvVar."""


@pytest.mark.parametrize(("name", "suffix"), NAMES.items())
def test_the_variables_that_kubevirt_reads(name: str, suffix: str) -> None:
    """The contract, kind by kind: its prefix, the requested ids only, sorted, in whatever order they came."""
    pci = config(f'name = "{name}"\nselect = ["8086:10e8"]')
    mdev = config(f'name = "{name}"\nkind = "mdev"\nselect = ["class:gpu"]')
    usb = config(f'name = "{name}"\nkind = "usb"\nselect = ["usb:1050:0407"]')
    addresses = ["0000:0a:00.0", "0000:65:00.0", "0000:e1:00.0"]

    for order in permutations(addresses):
        grant = granted(FOUR, pci, list(order))
        assert grant.envs == ((f"PCI_RESOURCE_{suffix}", ",".join(addresses)),)
    for pair in permutations((UUID, OTHER)):
        grant = granted(vgpus(), mdev, list(pair))
        assert grant.envs == ((f"MDEV_PCI_RESOURCE_{suffix}", ",".join(sorted((UUID, OTHER)))),)
    for ports in permutations(("1-2.5", "1-10")):
        grant = granted(machine(), usb, list(ports), seeing(USB))
        assert grant.envs == ((f"USB_RESOURCE_{suffix}", "1:17,1:4"),)
        # Exactly one colon each, in decimal, and no blank: virt-launcher trims nothing.
        assert all(entry.replace(":", "", 1).isdecimal() for entry in grant.envs[0][1].split(","))


def test_addresses_are_ordered_by_number() -> None:
    """A domain of five digits comes after all of four, though its text would not."""
    host = machine(given("10000:e1:00.0", 1), given("2000:01:00.0", 2))
    addresses = ["10000:e1:00.0", "2000:01:00.0"]

    # Behind VMD a function cannot be bound; on a vfio driver it is taken as it is.
    grant = granted(host, config('select = ["8086:10e8"]'), addresses)

    assert grant.envs[0][1] == "2000:01:00.0,10000:e1:00.0"


def test_what_kubevirt_reads_of_mediated_devices() -> None:
    """Another prefix, UUIDs, the node of the device's own group."""
    grant = granted(
        vgpus(), config('name = "vfioctl.io/grid-t4"\nkind = "mdev"\nselect = ["class:gpu"]'), [OTHER, UUID]
    )

    assert grant.envs == (("MDEV_PCI_RESOURCE_VFIOCTL_IO_GRID-T4", f"{UUID},{OTHER}"),)
    assert paths(grant) == ["/dev/vfio/vfio", "/dev/vfio/40", "/dev/vfio/41"]


def test_what_kubevirt_reads_of_usb_devices() -> None:
    """Bus and number in decimal, one colon each, by port; the nodes have three digits."""
    grant = granted(
        machine(),
        config('name = "vfioctl.io/dongle"\nkind = "usb"\nselect = ["usb:1050:0407"]'),
        ["1-10", "1-2.5"],
        seeing(USB),
    )

    assert grant.envs == (("USB_RESOURCE_VFIOCTL_IO_DONGLE", "1:17,1:4"),)
    assert paths(grant) == ["/dev/bus/usb/001/017", "/dev/bus/usb/001/004"]


def test_a_plain_node_has_no_variable() -> None:
    """Each item is all of the paths, once."""
    tables = config('name = "a.b/kvm"\nkind = "node"\npaths = ["/dev/kvm", "/dev/vhost-net"]\ncount = 2')

    grant = granted(machine(), tables, ["kvm#1", "kvm#0"])

    assert (grant.envs, paths(grant)) == ((), ["/dev/kvm", "/dev/vhost-net"])


CDEVS = machine(
    *(
        one._replace(vfio_cdev=f"/dev/vfio/devices/vfio{index}")
        for index, one in enumerate((*card(1, 17), given(NIC, 4)))
    )
)
CDEV = [f"/dev/vfio/devices/vfio{index}" for index in range(3)]


@pytest.mark.parametrize(
    ("host", "backend", "expected"),
    [
        (CDEVS, "auto", ["/dev/vfio/vfio", "/dev/vfio/17", CDEV[0], CDEV[1]]),
        (CDEVS, "legacy", ["/dev/vfio/vfio", "/dev/vfio/17"]),
        (CDEVS, "iommufd", ["/dev/iommu", CDEV[0], CDEV[1]]),
        (machine(*card(1, 17)), "auto", ["/dev/vfio/vfio", "/dev/vfio/17"]),
    ],
)
def test_the_backend_decides_which_nodes_there_are(host: Host, backend: str, expected: list[str]) -> None:
    """The group's node once; a function's own where the kernel has one."""
    grant = granted(host, config(f'select = ["01:00"]\nbackend = "{backend}"'), [GPU, AUDIO])

    assert paths(grant) == expected


@pytest.mark.parametrize("unit", ["slot", "group"])
def test_a_unit_is_one_entry_and_all_of_its_nodes(unit: str) -> None:
    """P12: siblings never shift the slots of a guest."""
    grant = granted(CDEVS, config(f'select = ["class:gpu"]\nunit = "{unit}"'), [GPU])

    assert grant.envs == (("PCI_RESOURCE_VFIOCTL_IO_R0", GPU),)
    assert paths(grant) == ["/dev/vfio/vfio", "/dev/vfio/17", CDEV[0], CDEV[1]]


def test_a_slot_over_two_groups_has_both_nodes() -> None:
    """Functions that the hardware isolates have a group each."""
    host = machine(given(GPU, 5), given(AUDIO, 6))

    grant = granted(host, config('select = ["01:00.0"]\nunit = "slot"'), [GPU])

    assert paths(grant) == ["/dev/vfio/vfio", "/dev/vfio/5", "/dev/vfio/6"]


def test_every_style_of_variable() -> None:
    """In the order of the configuration; none is possible."""
    text = 'name = "a.b/c"\nselect = ["01:00"]\nunit = "slot"\nenv = ["json", "pcidevice", "kubevirt"]'

    envs = granted(CDEVS, config(text), [GPU]).envs

    assert [name for name, _ in envs] == ["VFIOCTL_RESOURCE_A_B_C", "PCIDEVICE_A_B_C", "PCI_RESOURCE_A_B_C"]
    assert {value for _, value in envs[1:]} == {GPU}
    assert json.loads(envs[0][1]) == [
        {
            "id": GPU,
            "addresses": [GPU, AUDIO],
            "iommu_group": 17,
            "numa_nodes": [],
            "nodes": ["/dev/vfio/vfio", "/dev/vfio/17", CDEV[0], CDEV[1]],
        }
    ]
    assert granted(CDEVS, config('select = ["01:00"]\nenv = []'), [GPU]).envs == ()


def test_json_says_of_other_kinds_what_is_particular_to_them() -> None:
    """Bus, number and ids of a USB device; the type of a mediated one, with its parent's address."""
    usb = granted(
        machine(), config('kind = "usb"\nselect = ["usb:1-10"]\nenv = ["json"]'), ["1-10"], seeing(USB)
    )
    mdev = granted(vgpus(), config(f'kind = "mdev"\nselect = ["mdev:{OTHER}"]\nenv = ["json"]'), [OTHER])

    (described,) = json.loads(usb.envs[0][1])
    assert (described["bus"], described["device"], described["usb_id"]) == (1, 4, "1050:0407")
    assert described["nodes"] == ["/dev/bus/usb/001/004"]
    (described,) = json.loads(mdev.envs[0][1])
    assert (described["mdev_type"], described["addresses"], described["iommu_group"]) == (
        "nvidia-64",
        [GPU],
        41,
    )


def test_with_cdi_there_are_names_and_no_nodes() -> None:
    """Never both: the specification names the nodes."""
    grant = granted(CDEVS, config('select = ["01:00"]\nunit = "slot"\ncdi = true'), [GPU])

    assert grant.nodes == ()
    assert grant.cdi == (f"vfioctl.io/vfio={GPU}", f"vfioctl.io/vfio={AUDIO}")
    assert grant.envs == (("PCI_RESOURCE_VFIOCTL_IO_R0", GPU),)


def test_on_demand_names_the_node_before_it_is_there() -> None:
    """The group's number is known before binding, and with it the node's name."""
    host = machine(make_device(NIC, driver="e1000e", iommu_group=23))

    grant = granted(host, config('select = ["02:00.0"]\nbind = "on-demand"'), [NIC])

    assert paths(grant) == ["/dev/vfio/vfio", "/dev/vfio/23"]


def test_the_same_ids_give_the_same_grant() -> None:
    """The kubelet allocates for an init container, and again for the other one."""
    ids = ["0000:66:00.0", "0000:0a:00.0"]

    assert granted(FOUR, default_config(), ids) == granted(FOUR, default_config(), [*reversed(ids), ids[0]])


def test_what_was_not_offered_is_not_found() -> None:
    """P52: an error that names it, never an empty answer."""
    assert allocated(FOUR, default_config(), ["0000:65:00.0", "0000:99:00.0"]) == Denied(
        "NOT_FOUND", "vfioctl.io/8086_10e8 has no item 0000:99:00.0"
    )
    assert allocated(FOUR, default_config(), []) == Denied(
        "INVALID_ARGUMENT", "no item of vfioctl.io/8086_10e8 was asked for"
    )


def test_a_resource_that_is_not_configured_any_more_is_not_found() -> None:
    """A call can come in between a reload and the end of its server."""
    offer = offers(FOUR, config('select = ["class:nic"]'), sight=SEEN)[0]

    denied = allocate(
        FOUR, config('name = "a.b/other"\nselect = ["class:nic"]'), offer, ["0000:65:00.0"], SEEN
    )

    assert denied == Denied("NOT_FOUND", "vfioctl.io/r0 is not configured any more")


NOW = given(NIC, 2)


@pytest.mark.parametrize(
    ("after", "missing", "message"),
    [
        ((), "", "it is not on this host any more (missing)"),
        ((NOW._replace(driver="igb"),), "", f"on driver igb; to offer it: vfioctl bind {NIC}"),
        ((NOW._replace(driver=None, unbinding=True),), "", "its driver is unknown"),
        (
            (NOW._replace(iommu_group=3, vfio_group_node="/dev/vfio/3"),),
            "",
            "it is in IOMMU group 3 now, and was offered in 2 (group-changed)",
        ),
        ((NOW._replace(alive=False),), "", "it does not answer: its configuration space reads all ones"),
        (
            (NOW, make_device("0000:02:00.1", iommu_group=2, driver="igb")),
            "",
            "its IOMMU group is not viable: 0000:02:00.1: igb uses it for the host (group-not-viable)",
        ),
        (
            (NOW,),
            "/dev/vfio/2",
            "a device node that a container would need is not there: /dev/vfio/2 (no-node)",
        ),
        (
            (NOW._replace(vfio_group_node=None),),
            "",
            f"a device node that a container would need is not there: the IOMMU group of {NIC} has no node",
        ),
    ],
)
def test_what_changed_since_it_was_offered_is_refused(
    after: tuple[object, ...], missing: str, message: str
) -> None:
    """The text reaches the pod's status: item, resource, what is wrong."""
    offer = offers(machine(NOW), config('select = ["02:00.0"]'), sight=SEEN)[0]
    host = machine(*after)  # type: ignore[arg-type]

    denied = allocate(host, config('select = ["02:00.0"]'), offer, [NIC], seeing(missing=[missing]))

    assert isinstance(denied, Denied)
    assert denied.code == "FAILED_PRECONDITION"
    assert denied.message.startswith(f"{NIC} of vfioctl.io/r0: {message}")


def test_a_unit_that_grew_is_refused() -> None:
    """A function was plugged into the group after it was offered."""
    tables = config('select = ["02:00.0"]\nunit = "group"')
    offer = offers(machine(NOW), tables, sight=SEEN)[0]

    denied = allocate(machine(NOW, given("0000:02:00.1", 2)), tables, offer, [NIC], SEEN)

    assert denied == Denied(
        "FAILED_PRECONDITION",
        f"{NIC} of vfioctl.io/r0: its functions are not those that it was offered with (group-changed)",
    )


def test_what_is_offered_as_unhealthy_is_refused_with_its_reason() -> None:
    """Whatever the host says by now: the kubelet was told otherwise."""
    offer = offers(machine(NOW), config('select = ["02:00.0"]'), frozenset({NIC}), SEEN)[0]

    denied = allocate(machine(NOW), config('select = ["02:00.0"]'), offer, [NIC], SEEN)

    assert isinstance(denied, Denied)
    assert denied.message.endswith("an administrator took it out of service (cordoned)")


def test_one_bad_id_refuses_all() -> None:
    """A container gets everything or an error."""
    host = machine(NOW, given("0000:03:00.0", 3))
    offer = offers(host, config('select = ["class:nic"]'), sight=SEEN)[0]

    denied = allocate(machine(NOW), config('select = ["class:nic"]'), offer, [NIC, "0000:03:00.0"], SEEN)

    assert isinstance(denied, Denied)
    assert "0000:03:00.0" in denied.message


def test_a_usb_device_is_found_under_its_new_number() -> None:
    """It was plugged again between the look and the call."""
    tables = config('kind = "usb"\nselect = ["usb:1-2.5"]')
    offer = offers(machine(), tables, sight=seeing(USB))[0]
    again = seeing((plugged("2.5", device=18),))

    grant = allocate(machine(), tables, offer, ["1-2.5"], again)

    assert isinstance(grant, Grant)
    assert grant.envs[0][1] == "1:18"
    assert allocate(machine(), tables, offer, ["1-2.5"], seeing(())) == Denied(
        "FAILED_PRECONDITION", "1-2.5 of vfioctl.io/r0: it is not on this host any more (missing)"
    )
    assert at(NIC) == plugged("1").controller


NICS = config('select = ["class:nic"]')


def test_what_was_granted_is_not_worked_out_again() -> None:
    """The very object, so that nobody writes it down anew either; another choice is another grant."""
    offer = offers(FOUR, NICS, sight=SEEN)[0]
    allocations = Allocations(FOUR, NICS, SEEN)

    first, second = (allocations.allocate(offer, ("0000:65:00.0",)) for _ in range(2))

    assert first is second == allocate(FOUR, NICS, offer, ["0000:65:00.0"], SEEN)
    assert allocations.allocate(offer, ("0000:66:00.0",)) != first


def test_a_node_that_goes_after_a_grant_is_missed() -> None:
    """What was granted before says nothing about the nodes of now."""
    gone: set[str] = set()
    sight = seeing()._replace(has_node=lambda path: path not in gone)
    offer = offers(FOUR, NICS, sight=sight)[0]
    allocations = Allocations(FOUR, NICS, sight)
    granted = allocations.allocate(offer, ("0000:65:00.0",))

    gone.add(f"/dev/vfio/{0x65}")
    denied = allocations.allocate(offer, ("0000:65:00.0",))
    gone.clear()

    assert isinstance(denied, Denied)
    assert "no-node" in denied.message
    assert allocations.allocate(offer, ("0000:65:00.0",)) == granted


def test_another_offer_is_looked_at_anew() -> None:
    """An item that was granted before may be unhealthy by now."""
    allocations = Allocations(FOUR, NICS, SEEN)
    ids = ("0000:65:00.0",)
    granted = allocations.allocate(offers(FOUR, NICS, sight=SEEN)[0], ids)

    denied = allocations.allocate(offers(FOUR, NICS, frozenset(ids), SEEN)[0], ids)

    assert isinstance(granted, Grant)
    assert isinstance(denied, Denied)


def test_the_nodes_behind_cdi_names_are_looked_for_each_time() -> None:
    """The grant itself does not name them."""
    gone: set[str] = set()
    sight = seeing()._replace(has_node=lambda path: path not in gone)
    configured = config('select = ["class:nic"]\ncdi = true')
    offer = offers(FOUR, configured, sight=sight)[0]
    allocations = Allocations(FOUR, configured, sight)
    assert isinstance(allocations.allocate(offer, ("0000:65:00.0",)), Grant)

    gone.add(f"/dev/vfio/{0x65}")

    assert isinstance(allocations.allocate(offer, ("0000:65:00.0",)), Denied)
