from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tree import HostTree
from tests.sysfs.reading import at, device_of, host_of, refuse, root_of, unlink, unread_of
from vfioctl.errors import NotPermittedError, UsageError
from vfioctl.model.device import Acs, PortType
from vfioctl.model.group import OtherMember, ReservedRegion
from vfioctl.model.host import MdevInstance
from vfioctl.model.kernel import KernelRelease
from vfioctl.sysfs.denied import BLOCKED, BLOCKED_REASON
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from pathlib import Path

DEVICES = "/sys/bus/pci/devices"
GROUPS = "/sys/kernel/iommu_groups"
NIC, GPU = "0000:01:00.0", "0000:02:00.0"


@pytest.fixture
def pair(tree: HostTree) -> HostTree:
    """Return a machine with two devices."""
    return tree.device(NIC, group=1).device(GPU, "10de:2204", 0x030000, group=2)


def addresses(tree: HostTree) -> list[str]:
    """Read a machine and return its devices' addresses."""
    return [str(device.address) for device in host_of(tree).devices]


def test_devices_come_in_numeric_order(tree: HostTree) -> None:
    """A five-digit domain comes after all of four digits, whatever the text says (K1)."""
    tree.device("0000:00:0e.0", class_code=0x010400, driver="vmd")
    tree.device("10000:00:01.0", parent="0000:00:0e.0").device("0fff:00:01.0").device("0000:0a:00.0")
    assert addresses(tree) == ["0000:00:0e.0", "0000:0a:00.0", "0fff:00:01.0", "10000:00:01.0"]


def test_any_names_of_devices_come_in_numeric_order(tree: HostTree) -> None:
    """Also names that no kernel would write: upper case, no domain, needless zeros."""
    for name in ("00000001:00:00.0", "03:00.0", "0000:02:00.0", "0000:0B:00.0", "0000:0a:00.0"):
        tree.file(f"{DEVICES}/{name}/vendor", "0x1").file(f"{DEVICES}/{name}/device", "0x1")
        tree.file(f"{DEVICES}/{name}/class", "0x020000")
    host = host_of(tree)
    assert [device.address for device in host.devices] == sorted(device.address for device in host.devices)
    assert len(host.devices) == 5


def test_a_name_that_is_no_address_is_reported(pair: HostTree) -> None:
    """One odd entry never empties the machine."""
    pair.folder(f"{DEVICES}/what:is.this")
    assert addresses(pair) == [NIC, GPU]
    assert unread_of(host_of(pair)) == {"what:is.this": "malformed: not a PCI address"}


def test_a_device_that_vanishes_while_it_is_read_is_reported(pair: HostTree) -> None:
    """Its link was listed, its folder is gone."""
    pair.link(f"{DEVICES}/0000:03:00.0", "/sys/devices/pci0000:03/0000:03:00.0")
    assert addresses(pair) == [NIC, GPU]
    assert unread_of(host_of(pair)) == {"0000:03:00.0": "it went away while it was read"}


def test_a_device_whose_folder_may_not_be_opened_is_reported_with_the_reason(tree: HostTree) -> None:
    """It did not go away."""
    tree.device(NIC).link(f"{DEVICES}/{GPU}", f"/sys/devices/pci0000:02/{GPU}")
    tree.deny(f"/sys/devices/pci0000:02/{GPU}")
    assert addresses(tree) == [NIC]
    assert unread_of(host_of(tree)) == {GPU: "permission denied"}


def test_a_device_that_blocked_to_the_end_is_reported_as_such(pair: HostTree) -> None:
    """In the snapshot of a host where every read of it hung (K55)."""
    pair.deny(f"{DEVICES}/{GPU}", BLOCKED)
    assert addresses(pair) == [NIC]
    assert unread_of(host_of(pair)) == {GPU: BLOCKED_REASON}


def test_a_recording_that_copied_instead_of_linking_is_read(tree: HostTree) -> None:
    """Then what is above a device is unknown, and the rest is as ever."""
    for name, value in {"vendor": "0x8086", "device": "0x1533", "class": "0x020000"}.items():
        tree.file(f"{DEVICES}/{NIC}/{name}", f"{value}\n")
    device = device_of(tree, NIC)
    assert (device.vendor_id, device.device_id, device.parent, device.driver) == (0x8086, 0x1533, None, None)
    assert host_of(tree).unread == ()


def test_an_attribute_that_may_not_be_read_belongs_to_its_device(pair: HostTree) -> None:
    """Path, device and field are all in the note."""
    pair.deny(f"{pair.path(NIC)}/driver_override")
    (note,) = host_of(pair).unread
    assert note == (f"{pair.path(NIC)}/driver_override", "permission denied", at(NIC), "driver_override")


def test_what_could_not_be_read_is_sorted_and_said_once(pair: HostTree) -> None:
    """Equal hosts are equal values."""
    for address in (GPU, NIC):
        for name in ("numa_node", "driver_override"):
            pair.deny(f"{pair.path(address)}/{name}")
    pair.folder(f"{DEVICES}/odd").folder(f"{DEVICES}/even")
    host = host_of(pair)
    assert [note.path for note in host.unread] == sorted({note.path for note in host.unread})
    assert len(host.unread) == 6
    assert host == host_of(pair)
    assert hash(host) == hash(host_of(pair))


def test_what_is_above_a_device_is_its_parent(tree: HostTree) -> None:
    """Through switches, and through the controller that made a domain of its own."""
    tree.bridge("0000:00:01.0", 1).bridge("0000:01:00.0", 2, parent="0000:00:01.0", pcie=5)
    tree.bridge("0000:02:00.0", 3, parent="0000:01:00.0", pcie=6).device(
        "0000:03:00.0", parent="0000:02:00.0"
    )
    tree.device("0000:00:0e.0").device("10000:00:02.0", parent="0000:00:0e.0")
    parents = {str(device.address): str(device.parent) for device in host_of(tree).devices}
    assert parents == {
        "0000:00:01.0": "None",
        "0000:00:0e.0": "None",
        "0000:01:00.0": "0000:00:01.0",
        "0000:02:00.0": "0000:01:00.0",
        "0000:03:00.0": "0000:02:00.0",
        "10000:00:02.0": "0000:00:0e.0",
    }
    assert device_of(tree, "0000:02:00.0").port_type is PortType.DOWNSTREAM


def test_ports_say_whether_they_isolate(tree: HostTree) -> None:
    """ACS decides groups (K26); endpoints are not asked."""
    tree.bridge("0000:00:01.0", 1, acs=True).bridge("0000:00:02.0", 2, acs=False).device("0000:00:03.0")
    assert [device.acs for device in host_of(tree).devices] == [Acs.ISOLATES, Acs.ABSENT, None]


def test_an_unknown_port_type_is_unknown(tree: HostTree) -> None:
    """The specification has values left."""
    tree.bridge("0000:00:01.0", 1, pcie=0xF)
    assert device_of(tree, "0000:00:01.0").port_type is None


def test_slots_and_companions_come_from_their_classes(pair: HostTree) -> None:
    """A slot has a label for all its functions; a device link ties a GPU to its audio function (K50)."""
    pair.device("0000:02:00.1", "10de:1aef", 0x040300).slot("4", "0000:02:00").slot("7", "nonsense")
    pair.folder("/sys/bus/pci/slots/8")
    pair.folder("/sys/class/devlink/pci:0000:02:00.0--pci:0000:02:00.1")
    pair.folder("/sys/class/devlink/pci:0000:02:00.0--platform:x").folder("/sys/class/devlink/odd")
    gpu, audio = device_of(pair, GPU), device_of(pair, "0000:02:00.1")
    assert (gpu.physical_slot, audio.physical_slot) == ("4", "4")
    assert (gpu.companions, audio.companions) == ((audio.address,), (gpu.address,))
    assert device_of(pair, NIC).companions == ()


def test_groups_are_read_with_type_members_and_regions(pair: HostTree) -> None:
    """In numeric order of groups and members (K22, K24)."""
    pair.device("0000:02:00.1", group=2)
    pair.group(GPU, 10, "identity", "0x1000 0x1fff direct\n0xfee00000 0xfeefffff msi\n")
    groups = host_of(pair).groups
    assert [group.id for group in groups] == [1, 2, 10]
    assert groups[1].members == (at(GPU), at("0000:02:00.1"))
    assert groups[2].type == "identity"
    assert groups[2].reserved_regions == (
        ReservedRegion(0x1000, 0x1FFF, "direct"),
        ReservedRegion(0xFEE00000, 0xFEEFFFFF, "msi"),
    )
    assert groups[2].needs_identity_mapping


def test_a_group_may_hold_what_is_no_pci_function(pair: HostTree) -> None:
    """Platform devices, with and without a driver (K22)."""
    pair.folder("/sys/devices/platform/smmu.1").group("/sys/devices/platform/smmu.1", 2)
    pair.link("/sys/devices/platform/gpu.0/driver", "/sys/bus/platform/drivers/arm-gpu")
    pair.group("/sys/devices/platform/gpu.0", 2)
    group = host_of(pair).by_group[2]
    assert group.members == (at(GPU),)
    assert group.other_members == (OtherMember("gpu.0", "arm-gpu"), OtherMember("smmu.1", None))


def test_a_malformed_region_is_reported_and_the_others_kept(pair: HostTree) -> None:
    """Whether the group needs a fixed mapping must not depend on one odd line."""
    pair.group(NIC, 5, "DMA", "0x1000 0x1fff direct\nnonsense\n0x1 0x2\nx y msi\n")
    assert host_of(pair).by_group[5].reserved_regions == (ReservedRegion(0x1000, 0x1FFF, "direct"),)
    assert unread_of(host_of(pair))["reserved_regions"].startswith("malformed: ")


def test_an_unreadable_group_attribute_is_reported(pair: HostTree) -> None:
    """The group is there, its type unknown."""
    pair.deny(f"{GROUPS}/1/type")
    assert host_of(pair).by_group[1].type is None
    assert unread_of(host_of(pair)) == {"type": "permission denied"}


def test_a_group_that_blocked_is_reported_and_left_out(pair: HostTree) -> None:
    """In a snapshot, as on the host it is from."""
    refuse(pair, f"{GROUPS}/2", BLOCKED)
    host = host_of(pair)
    assert ([group.id for group in host.groups], host.iommu) == ([1], True)
    assert unread_of(host) == {"2": BLOCKED_REASON}


def test_groups_without_a_list_come_from_the_devices(pair: HostTree) -> None:
    """Recordings of others may lack /sys/kernel; the devices' links are enough."""
    pair.device("0000:02:00.1", group=2)
    for name in os.listdir(root_of(pair).local(GROUPS)):
        os.rename(root_of(pair).local(f"{GROUPS}/{name}"), root_of(pair).local(f"/sys/away-{name}"))
    os.rmdir(root_of(pair).local(GROUPS))
    host = host_of(pair)
    assert [(group.id, group.members, group.type) for group in host.groups] == [
        (1, (at(NIC),), None),
        (2, (at(GPU), at("0000:02:00.1")), None),
    ]
    assert host.iommu is True


def test_an_empty_list_of_groups_is_no_iommu(tree: HostTree) -> None:
    """The folder exists without an IOMMU too (K22); so may the class."""
    host = host_of(tree.device(NIC).folder("/sys/class/iommu").folder(f"{GROUPS}/not-a-group"))
    assert (host.iommu, host.groups, host.iommu_units) == (False, (), ())


def test_no_list_of_groups_is_no_iommu(tree: HostTree) -> None:
    """A kernel without IOMMU support does not have the folder."""
    tree.device(NIC)
    os.rmdir(root_of(tree).local(GROUPS))
    assert host_of(tree).iommu is False


def test_an_unreadable_list_of_groups_is_unknown(tree: HostTree) -> None:
    """Not the same as no IOMMU."""
    host = host_of(refuse(tree.device(NIC), GROUPS))
    assert (host.iommu, host.groups) == (None, ())
    assert unread_of(host) == {"iommu_groups": "permission denied"}


def test_the_host_says_its_kernel_and_its_switches(pair: HostTree) -> None:
    """Release, IOMMU units, iommufd, lockdown and the denylist's switch (K16, K32)."""
    pair.folder("/sys/class/iommu/dmar0").file(
        "/sys/kernel/security/lockdown", "none [integrity] confidentiality\n"
    )
    pair.link("/sys/class/misc/iommu", "/sys/devices/virtual/misc/iommu")
    pair.file("/sys/module/vfio_pci/parameters/disable_denylist", "Y\n")
    host = host_of(pair)
    assert host.kernel == KernelRelease(6, 12, "6.12.48-amd64")
    assert (host.iommu_units, host.iommufd, host.lockdown) == (("dmar0",), True, "integrity")
    assert host.denylist_disabled is True


def test_a_host_without_procfs_has_an_unknown_kernel(tree: HostTree) -> None:
    """Recordings of sysfs alone: the rules that depend on the release then say so."""
    host = host_of(tree.device(NIC).remove("/proc/sys/kernel/osrelease"))
    assert (host.kernel, host.iommufd, host.lockdown, host.denylist_disabled) == (None, False, None, False)


def test_vfio_nodes_are_those_of_the_group_and_of_the_device(pair: HostTree) -> None:
    """A node of its own only where the kernel makes one (K27); a group's node is that of its vfio members."""
    pair.vfio(NIC, 0, cdev="511:0").vfio(GPU, 1).device("0000:01:00.1", group=1)
    nic, gpu, sibling = (device_of(pair, address) for address in (NIC, GPU, "0000:01:00.1"))
    assert (nic.vfio_group_node, nic.vfio_cdev) == ("/dev/vfio/1", "/dev/vfio/devices/vfio0")
    assert (gpu.vfio_group_node, gpu.vfio_cdev) == ("/dev/vfio/2", None)
    assert (sibling.vfio_group_node, sibling.vfio_cdev) == (None, None)


def test_a_node_without_iommu_says_so_in_its_name(pair: HostTree) -> None:
    """Noiommu mode (K29)."""
    unlink(pair.vfio(NIC, 0), "/sys/class/vfio/1").folder("/sys/class/vfio/noiommu-1").folder(
        "/sys/class/vfio/x"
    )
    assert device_of(pair, NIC).vfio_group_node == "/dev/vfio/noiommu-1"


def test_mediated_devices_know_parent_type_and_group(pair: HostTree) -> None:
    """Their vfio node is not their parent's (K53)."""
    uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
    path = f"{pair.path(GPU)}/{uuid}"
    pair.link(f"/sys/bus/mdev/devices/{uuid}", path).group(path, 9)
    pair.link(f"{path}/mdev_type", f"{pair.path(GPU)}/mdev_supported_types/nvidia-63")
    pair.file(f"{path}/vfio-dev/vfio7/dev", "511:7").link(
        "/sys/class/vfio-dev/vfio7", f"{path}/vfio-dev/vfio7"
    )
    pair.link("/sys/bus/mdev/devices/stray", "/sys/devices/virtual/mtty/stray")
    host = host_of(pair)
    assert host.mdevs == (MdevInstance(uuid, at(GPU), "nvidia-63", 9),)
    assert host.by_address[at(GPU)].vfio_cdev is None
    assert host.by_group[9].other_members == (OtherMember(uuid, None),)


def test_odd_vfio_devices_are_passed_over(pair: HostTree) -> None:
    """A link to nowhere in particular is nobody's node."""
    pair.link("/sys/class/vfio-dev/vfio3", "/x").link("/sys/class/vfio-dev/vfio4", f"{pair.path(NIC)}/vfio4")
    assert device_of(pair, NIC).vfio_cdev is None


def test_a_root_without_a_pci_bus_is_refused(tmp_path: Path) -> None:
    """With what would be a root."""
    with pytest.raises(UsageError, match="no PCI bus below") as caught:
        read_host(HostRoot(str(tmp_path)))
    assert "sys/bus/pci/devices" in caught.value.hint


def test_a_root_whose_devices_are_a_file_is_refused(tmp_path: Path) -> None:
    """A strange archive is no host."""
    (tmp_path / "sys/bus/pci").mkdir(parents=True)
    (tmp_path / "sys/bus/pci/devices").write_text("")
    with pytest.raises(UsageError):
        read_host(HostRoot(str(tmp_path)))


def test_a_root_that_may_not_be_listed_is_not_permitted(tree: HostTree) -> None:
    """Exit 6, not 2: the root may be fine for another user."""
    with pytest.raises(NotPermittedError, match="permission denied"):
        host_of(refuse(tree, DEVICES))


def test_an_empty_bus_is_a_host_without_devices(tree: HostTree) -> None:
    """Many virtual machines are so."""
    host = host_of(tree)
    assert (host.devices, host.groups, host.unread) == ((), (), ())


def test_a_large_host_is_read_in_several_processes_as_in_one(tree: HostTree) -> None:
    """Order and content do not depend on who read what; odd devices are reported from there too."""
    for bus in range(1, 12):
        for slot in range(32):
            tree.device(f"0000:{bus:02x}:{slot:02x}.0", group=bus * 32 + slot)
    tree.deny(f"{tree.path('0000:03:00.0')}/numa_node").remove(f"{tree.path('0000:04:00.0')}/modalias")
    tree.remove(f"{tree.path('0000:04:00.0')}/vendor")
    host = host_of(tree)
    assert len(host.devices) == 11 * 32 - 1
    assert [device.address for device in host.devices] == sorted(device.address for device in host.devices)
    assert [group.id for group in host.groups] == sorted(group.id for group in host.groups)
    assert unread_of(host) == {"numa_node": "permission denied", "0000:04:00.0": "it has no ids"}


@given(
    content=st.binary(max_size=80),
    name=st.sampled_from(
        [
            "vendor",
            "class",
            "modalias",
            "revision",
            "numa_node",
            "resource",
            "config",
            "power_state",
            "reset_method",
            "driver_override",
            "sriov_totalvfs",
            "boot_vga",
        ]
    ),
)
def test_no_content_of_an_attribute_empties_the_machine(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    """Whatever one device says, the other is read."""
    tree = HostTree(tmp_path_factory.mktemp("odd") / "host").device(NIC, class_code=0x030000).device(GPU)
    tree.file(f"{tree.path(NIC)}/{name}", content)
    host = host_of(tree)
    assert at(GPU) in host.by_address
    assert at(NIC) in host.by_address or host.unread
