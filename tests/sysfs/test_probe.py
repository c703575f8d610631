from __future__ import annotations

import pytest

from tests.support.tree import Bar, HostTree
from tests.sysfs.reading import at, device_of, host_of, root_of, unlink, unread_of
from vfioctl.model.device import Header, MdevType, PhysicalFunction, PortType, VirtualFunction
from vfioctl.sysfs.attribute import Files
from vfioctl.sysfs.denied import BLOCKED, BLOCKED_REASON
from vfioctl.sysfs.probe import CONFIG, DRIVER_OVERRIDE, MDEV_TYPES, Probe, Unidentified, probe

NIC = "0000:01:00.0"


@pytest.fixture
def nic(tree: HostTree) -> HostTree:
    """Return a machine with one network card."""
    return tree.device(NIC, "8086:1533:8086:0001", driver="igb", revision=3, group=4)


def probed(tree: HostTree, *skip: str) -> Probe:
    """Read the network card's folder."""
    folder = Files(root_of(tree)).folder(tree.path(NIC))
    try:
        return probe(folder, skip)
    finally:
        folder.close()


def test_an_ordinary_device_is_read_whole(nic: HostTree) -> None:
    """Every plain field from its attribute; the kernel's (null) and -1 are None."""
    device = device_of(nic, NIC)
    assert (device.vendor_id, device.device_id) == (0x8086, 0x1533)
    assert (device.subsystem_vendor_id, device.subsystem_device_id) == (0x8086, 1)
    assert (device.class_code, device.revision, device.header) == (0x020000, 3, Header.ENDPOINT)
    assert (device.driver, device.driver_override, device.iommu_group) == ("igb", None, 4)
    assert (device.numa_node, device.power_state, device.reset_methods) == (None, "D0", ("flr", "bus"))
    assert (device.alive, device.express, device.unbinding, device.sriov) == (True, True, False, None)
    assert host_of(nic).unread == ()


def test_ids_come_from_their_own_files_where_there_is_no_modalias(nic: HostTree) -> None:
    """Recordings of others have ids and class, and little else."""
    with_alias = device_of(nic, NIC)
    nic.remove(f"{nic.path(NIC)}/modalias")
    assert device_of(nic, NIC) == with_alias


@pytest.mark.parametrize(
    "alias",
    [
        "",
        "of:NmyboardT(null)",
        "pci:v0000zz86d00001533sv00008086sd00000001bc02sc00i00",
        "pci:v00018086d00001533sv00008086sd00000001bc02sc00i00",
    ],
)
def test_a_strange_modalias_is_not_believed(nic: HostTree, alias: str) -> None:
    """Then, too, the id files count."""
    nic.attributes(NIC, modalias=alias)
    assert (device_of(nic, NIC).vendor_id, device_of(nic, NIC).device_id) == (0x8086, 0x1533)


def test_a_device_without_ids_is_reported_and_left_out(nic: HostTree) -> None:
    """What it is cannot be told; the others are read."""
    nic.device("0000:02:00.0").remove(f"{nic.path(NIC)}/modalias").remove(f"{nic.path(NIC)}/vendor")
    with pytest.raises(Unidentified, match="it has no ids"):
        probed(nic)
    host = host_of(nic)
    assert [str(device.address) for device in host.devices] == ["0000:02:00.0"]
    assert unread_of(host) == {NIC: "it has no ids"}


def test_a_device_with_unreadable_ids_says_why(nic: HostTree) -> None:
    """The reason is the attribute's."""
    path = nic.path(NIC)
    nic.remove(f"{path}/modalias").deny(f"{path}/vendor").attributes(NIC, device="what")
    with pytest.raises(Unidentified, match=r"vendor: permission denied; device: malformed: 'what'"):
        probed(nic)


def test_a_device_without_configuration_space_is_read_from_the_rest(nic: HostTree) -> None:
    """Whether it is alive is unknown; the class tells bridges, the attribute the revision."""
    nic.remove(f"{nic.path(NIC)}/config").bridge("0000:00:01.0", 1)
    nic.remove(f"{nic.path('0000:00:01.0')}/config").device("0000:00:02.0", class_code=0x060700)
    nic.remove(f"{nic.path('0000:00:02.0')}/config")
    device, host = device_of(nic, NIC), host_of(nic)
    assert (device.alive, device.header, device.revision) == (None, Header.ENDPOINT, 3)
    assert host.by_address[at("0000:00:01.0")].header is Header.BRIDGE
    assert host.by_address[at("0000:00:02.0")].header is Header.CARDBUS
    assert host.unread == ()


def test_an_unreadable_configuration_space_is_unknown(nic: HostTree) -> None:
    """And said so."""
    nic.deny(f"{nic.path(NIC)}/config")
    assert device_of(nic, NIC).alive is None
    assert unread_of(host_of(nic)) == {"config": "permission denied"}


def test_an_ordinary_user_sees_the_header_of_a_port_only(tree: HostTree) -> None:
    """64 bytes of configuration space (K31): what the port is and whether it isolates stays unknown."""
    tree.bridge("0000:00:01.0", 1)
    path = f"{tree.path('0000:00:01.0')}/config"
    whole = next(entry.content for entry in tree.entries() if entry.path == path)  # type: ignore[union-attr]
    assert device_of(tree, "0000:00:01.0").port_type is PortType.ROOT_PORT
    tree.file(path, whole[:64])
    device = device_of(tree, "0000:00:01.0")
    assert (device.port_type, device.acs, device.alive, device.header) == (None, None, True, Header.BRIDGE)
    host = host_of(tree.attributes("0000:00:01.0", max_link_speed="16.0 GT/s PCIe"))
    assert unread_of(host) == {"config": "only its first 64 bytes can be read"}


def test_a_dead_device_is_told_from_a_virtual_function(tree: HostTree) -> None:
    """All ones is dead (K46); ones in the ids alone is a virtual function's way."""
    tree.device(NIC).dead(NIC).device("0000:02:00.0").device("0000:02:10.0", virtual_function=True)
    tree.virtual_functions("0000:02:00.0", 8, ["0000:02:10.0"])
    assert device_of(tree, NIC).alive is False
    virtual = device_of(tree, "0000:02:10.0")
    assert (virtual.alive, virtual.vendor_id) == (True, 0x8086)


def test_a_device_in_d3cold_is_not_woken(nic: HostTree) -> None:
    """A read of its configuration space would power it up; so it is not read, and nothing is claimed."""
    nic.attributes(NIC, power_state="D3cold").dead(NIC)
    device = device_of(nic, NIC)
    assert (device.alive, device.power_state) == (None, "D3cold")
    assert host_of(nic).unread == ()


def test_an_unbind_that_waits_is_seen_and_its_override_not_read(nic: HostTree) -> None:
    """The driver link is gone, the vfio device is not: reading driver_override could hang (K55)."""
    unlink(nic.vfio(NIC, 0), f"{nic.path(NIC)}/driver")
    device = device_of(nic, NIC)
    assert (device.driver, device.unbinding, device.driver_override) == (None, True, None)
    assert device.vfio_group_node == "/dev/vfio/4"
    assert unread_of(host_of(nic)) == {"driver_override": BLOCKED_REASON}


def test_a_driver_that_may_not_be_read_is_no_unbind(nic: HostTree) -> None:
    """Unknown is not gone."""
    nic.vfio(NIC, 0).deny(f"{nic.path(NIC)}/driver")
    device = device_of(nic, NIC)
    assert (device.driver, device.unbinding) == (None, False)
    assert unread_of(host_of(nic)) == {"driver": "permission denied"}


@pytest.mark.parametrize(("text", "node"), [("-1", None), ("0", 0), ("3", 3)])
def test_a_negative_numa_node_means_that_nobody_said(nic: HostTree, text: str, node: int | None) -> None:
    """The kernel's -1 is no node."""
    assert device_of(nic.attributes(NIC, numa_node=text), NIC).numa_node == node


@pytest.mark.parametrize(("text", "override"), [("(null)", None), ("", None), ("vfio-pci", "vfio-pci")])
def test_no_override_is_spelled_null(nic: HostTree, text: str, override: str | None) -> None:
    """An unset driver_override reads as (null) (K7)."""
    assert device_of(nic.attributes(NIC, driver_override=text), NIC).driver_override == override


def test_a_malformed_attribute_is_one_unknown_field(nic: HostTree) -> None:
    """The device and its other fields are there."""
    nic.attributes(NIC, numa_node="three")
    device = device_of(nic, NIC)
    assert (device.numa_node, device.driver) == (None, "igb")
    assert host_of(nic).unknown_fields == {(at(NIC), "numa_node")}
    assert unread_of(host_of(nic)) == {"numa_node": "malformed: 'three'"}


def test_a_group_link_that_names_no_group_is_unknown(nic: HostTree) -> None:
    """Not the same as having no group."""
    nic.link(f"{nic.path(NIC)}/iommu_group", "/sys/kernel/iommu_groups/seven")
    assert device_of(nic, NIC).iommu_group is None
    assert host_of(nic).unknown_fields == {(at(NIC), "iommu_group")}


def test_the_boot_display_is_asked_of_displays(tree: HostTree) -> None:
    """Yes, no, and not applicable are three answers (K47)."""
    tree.device("0000:01:00.0", class_code=0x030000, boot_vga=True)
    tree.device("0000:02:00.0", class_code=0x030000, boot_vga=False)
    tree.device("0000:03:00.0", class_code=0x030200)
    assert [device.boot_vga for device in host_of(tree).devices] == [True, False, None]


def test_regions_that_have_no_address_are_left_out(tree: HostTree) -> None:
    """Index, first and last byte, and flags of the others; a wide one takes two indexes."""
    tree.device(
        NIC, bars=[Bar(0xF0000000, 0x1000), Bar(0, 0), Bar(0x6000000000, 0x100000, prefetchable=True)]
    )
    bars = device_of(tree, NIC).bars
    assert [(bar.index, bar.start, bar.size, bar.space) for bar in bars] == [
        (0, 0xF0000000, 0x1000, "memory"),
        (2, 0x6000000000, 0x100000, "memory"),
    ]


def test_a_region_without_room_has_no_address(nic: HostTree) -> None:
    """The kernel prints its size as if it began at zero, and a flag (IORESOURCE_UNSET)."""
    unset = "0x0000000000000000 0x0000000000003fff 0x0000000020040200"
    good = "0x00000000f0000000 0x00000000f0000fff 0x0000000000040200"
    assert [bar.index for bar in device_of(nic.attributes(NIC, resource=f"{unset}\n{good}"), NIC).bars] == [1]


@pytest.mark.parametrize(
    ("name", "text"), [("vendor", "0x18086"), ("device", "-0x1"), ("class", "0x1020000"), ("vendor", "0x")]
)
def test_an_id_that_no_device_can_have_is_malformed(nic: HostTree, name: str, text: str) -> None:
    """Four digits, six of a class: nothing else is shown as an id."""
    nic.attributes(NIC, **{name: text}).remove(f"{nic.path(NIC)}/modalias")
    assert host_of(nic).devices == ()
    assert f"{name}: malformed" in unread_of(host_of(nic))[NIC]


def test_a_malformed_region_spoils_no_other(nic: HostTree) -> None:
    """What is strange is said, the rest is read."""
    good = "0x00000000f0000000 0x00000000f0000fff 0x0000000000040200"
    nic.attributes(NIC, resource=f"rubbish\n{good}\n1 2 3 4\n")
    assert [bar.index for bar in device_of(nic, NIC).bars] == [1]
    assert host_of(nic).unknown_fields == {(at(NIC), "resource")}


def test_an_absent_or_empty_region_file_means_no_regions(nic: HostTree) -> None:
    """Recordings may lack it."""
    assert device_of(nic.attributes(NIC, resource=""), NIC).bars == ()
    assert device_of(nic.remove(f"{nic.path(NIC)}/resource"), NIC).bars == ()


def test_both_sides_of_sriov_know_each_other(tree: HostTree) -> None:
    """Virtual functions are counted by their links, in index order and not in text order (K55)."""
    virtual = [f"0000:03:{10 + number // 8:02x}.{number % 8}" for number in range(12)]
    tree.device("0000:03:00.0")
    for address in virtual:
        tree.device(address, virtual_function=True)
    tree.virtual_functions("0000:03:00.0", 64, virtual).deny(f"{tree.path('0000:03:00.0')}/sriov_numvfs")
    host = host_of(tree)
    role = host.by_address[at("0000:03:00.0")].sriov
    assert role == PhysicalFunction(64, tuple(map(at, virtual)))
    assert host.by_address[at(virtual[11])].sriov == VirtualFunction(at("0000:03:00.0"), 11)
    assert host.unread == ()


def test_a_virtual_function_without_its_physical_one_keeps_its_role(tree: HostTree) -> None:
    """The link leads out of the recording: whose it is is known, its index is not."""
    tree.device("0000:03:10.0", virtual_function=True)
    tree.link(f"{tree.path('0000:03:10.0')}/physfn", "/sys/devices/pci0000:03/0000:03:00.0")
    assert device_of(tree, "0000:03:10.0").sriov == VirtualFunction(at("0000:03:00.0"), None)


def test_an_unreadable_virtual_function_link_is_unknown(tree: HostTree) -> None:
    """The others are listed."""
    tree.device("0000:03:00.0").device("0000:03:10.0").device("0000:03:10.1")
    tree.virtual_functions("0000:03:00.0", 4, ["0000:03:10.0", "0000:03:10.1"])
    tree.deny(f"{tree.path('0000:03:00.0')}/virtfn0").attributes("0000:03:00.0", sriov_totalvfs="many")
    host = host_of(tree)
    assert host.by_address[at("0000:03:00.0")].sriov == PhysicalFunction(None, (at("0000:03:10.1"),))
    assert set(unread_of(host)) == {"virtfn0", "sriov_totalvfs"}


def test_a_physical_function_that_is_no_address_gives_no_role(tree: HostTree) -> None:
    """A recording may say anything."""
    tree.device(NIC).link(f"{tree.path(NIC)}/physfn", "/sys/devices/nothing")
    assert device_of(tree, NIC).sriov is None


def test_types_of_mediated_devices_are_listed_with_what_is_left(nic: HostTree) -> None:
    """Name and description are optional (K53)."""
    path = f"{nic.path(NIC)}/mdev_supported_types"
    nic.file(f"{path}/b-2/available_instances", "4\n").file(f"{path}/b-2/device_api", "vfio-pci\n")
    nic.file(f"{path}/a-1/name", "GRID A\n").file(f"{path}/a-1/available_instances", "none")
    assert device_of(nic, NIC).mdev_types == (
        MdevType("a-1", "GRID A", None, None),
        MdevType("b-2", None, "vfio-pci", 4),
    )
    assert host_of(nic).unknown_fields == {(at(NIC), "mdev_supported_types/a-1/available_instances")}


def test_unreadable_types_of_mediated_devices_are_unknown(nic: HostTree) -> None:
    """As for every attribute."""
    nic.deny(f"{nic.path(NIC)}/mdev_supported_types")
    assert device_of(nic, NIC).mdev_types == ()
    assert unread_of(host_of(nic)) == {"mdev_supported_types": "permission denied"}


def test_what_is_known_to_block_is_skipped_and_reported(nic: HostTree) -> None:
    """A second attempt at a device leaves out what takes locks or asks hardware."""
    nic.file(f"{nic.path(NIC)}/{MDEV_TYPES}/a/name", "A")
    skipped = (DRIVER_OVERRIDE, CONFIG, MDEV_TYPES)
    facts = probed(nic, *skipped)
    assert (facts.driver_override, facts.config[1], facts.mdev_types) == (None, None, ())
    assert sorted(facts.unread) == sorted((name, BLOCKED_REASON) for name in skipped)
    assert facts.driver == "igb"


def test_a_snapshot_of_a_blocked_attribute_says_that_it_blocked(nic: HostTree) -> None:
    """What hung on the host is unknown in its snapshot, for the same reason."""
    nic.deny(f"{nic.path(NIC)}/driver_override", BLOCKED)
    assert unread_of(host_of(nic)) == {"driver_override": BLOCKED_REASON}
