"""vfioctl scan against lspci and the kernel's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.guest import cli, kernel


def test_every_device_that_lspci_lists_is_scanned_and_no_other(scanned):
    """The two lists hold the same addresses, in the kernel's numeric order."""
    assert list(scanned) == sorted(kernel.lspci())


def test_ids_class_revision_and_driver_are_those_of_lspci(scanned):
    """lspci reads the same facts by other means; its name for "no driver" is to say nothing."""
    for address, listed in kernel.lspci().items():
        device = scanned[address]
        found = (
            device["vendor_id"],
            device["device_id"],
            device["class_code"][:4],
            device["revision"],
            device["driver"],
        )
        assert found == (
            listed.vendor_id,
            listed.device_id,
            listed.class_code,
            listed.revision,
            listed.driver or None,
        ), address


def test_subsystem_ids_are_those_of_lspci(scanned):
    """Endpoints carry subsystem ids; bridges do in a capability, which sysfs does not always show."""
    for address, listed in kernel.lspci().items():
        device = scanned[address]
        if device["header"] == "endpoint":
            assert f"{device['subsystem_vendor_id']}:{device['subsystem_device_id']}" == listed.subsystem, (
                address
            )


def test_class_names_are_those_of_lspci(scanned):
    """Both read the same database of names."""
    for address, listed in kernel.lspci().items():
        assert scanned[address]["class_name"] == listed.class_name, address


def test_bridges_are_told_from_endpoints_by_their_header(scanned):
    """The header type decides, not the class: a host bridge has an endpoint's header."""
    for address, device in scanned.items():
        assert (device["header"] == "bridge") == kernel.is_bridge(address), address


def test_every_device_is_alive(scanned):
    """No configuration space of a running machine reads all ones (K46)."""
    assert all(device["alive"] for device in scanned.values())


def test_groups_of_devices_are_the_kernels(scanned):
    """The number under each device is that of the group which lists it."""
    expected = {address: number for number, members in kernel.iommu_groups().items() for address in members}
    assert {address: device["iommu_group"] for address, device in scanned.items()} == {
        address: expected.get(address) for address in scanned
    }


def test_the_host_is_described(topology):
    """Kernel release, whether an IOMMU is at work, and how many groups there are."""
    host = cli.document("scan")["host"]
    release = Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert host == {"kernel": release, "iommu": topology.iommu, "groups": len(kernel.iommu_groups())}


def test_the_interface_with_the_default_route_is_named_as_a_use(topology, scanned):
    """What would cut the host off is seen on the device behind it."""
    device = scanned[topology.default_route]
    names = [path.name for path in Path(f"/sys/bus/pci/devices/{topology.default_route}/net").iterdir()]
    assert device["net_interfaces"] == names
    assert {"route", "address"} <= {use["kind"] for use in device["usage"]}


def test_parents_are_the_bridges_above(scanned):
    """The folder above a device in /sys/devices is its bridge, unless it is the root of the bus."""
    for address, device in scanned.items():
        above = (kernel.DEVICES / address).resolve().parent.name
        assert device["parent"] == (above if above in scanned else None), address


@pytest.mark.topologies("server")
def test_numa_nodes_are_those_of_the_expander_bridges(scanned):
    """Devices behind node 0, behind node 1, and on the bus that belongs to none (-1 is null)."""
    found = {
        address: scanned[address]["numa_node"] for address in ("0000:41:00.0", "0000:81:00.0", "0000:06:00.0")
    }
    assert found == {"0000:41:00.0": 0, "0000:81:00.0": 1, "0000:06:00.0": None}


@pytest.mark.topologies("workstation")
def test_the_boot_display_is_told_from_the_second_one(scanned):
    """boot_vga is a fact of VGA-class devices only."""
    assert scanned["0000:01:00.0"]["boot_vga"] is True
    assert not scanned["0000:02:00.0"]["boot_vga"]


@pytest.mark.topologies("server")
@pytest.mark.deadline(180)
@pytest.mark.parametrize(
    ("physical", "total"), [("0000:41:00.0", 7), ("0000:81:00.0", 4)], ids=["igb", "nvme"]
)
def test_virtual_functions_name_their_physical_function(physical, total):
    """Two VFs made by hand show up with their index, and are gone when taken away."""
    attribute = kernel.DEVICES / physical / "sriov_numvfs"
    kernel.write(kernel.DEVICES / physical / "sriov_drivers_autoprobe", "0")
    kernel.write(attribute, "2")
    try:
        kernel.settle()
        devices = cli.devices()
        links = [(kernel.DEVICES / physical / f"virtfn{index}").resolve().name for index in range(2)]
        assert devices[physical]["sriov"] == {
            "role": "physical", "total_vfs": total, "num_vfs": 2, "virtual_functions": links,
        }  # fmt: skip
        for index, address in enumerate(links):
            assert devices[address]["sriov"] == {
                "role": "virtual",
                "physical_function": physical,
                "index": index,
            }
            assert devices[address]["iommu_group"] == kernel.group_of(address)
    finally:
        kernel.write(attribute, "0")
        kernel.write(kernel.DEVICES / physical / "sriov_drivers_autoprobe", "1")
        kernel.settle()
    assert cli.devices()[physical]["sriov"]["num_vfs"] == 0
