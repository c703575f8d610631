"""vfioctl show, device by device."""

from __future__ import annotations

import pytest

from tests.lab.guest import cli, kernel


def test_show_says_of_a_device_what_scan_says(topology, scanned):
    """One device shown is the same document as in the list: a bridge, and a device in use."""
    for address in ("0000:00:1f.0", topology.default_route):
        shown = cli.document("show", address)["device"]
        assert {key: shown.get(key) for key in scanned[address]} == scanned[address]


def test_show_of_an_absent_device_exits_3():
    """An address where nothing is."""
    answer = cli.vfioctl("show", "0000:1f:1f.7")
    assert (answer.exit_code, answer.stdout) == (3, "")
    assert "error:" in answer.stderr
    assert "hint:" in answer.stderr


@pytest.mark.topologies("bare")
def test_without_an_iommu_no_device_is_assignable_and_each_says_why(scanned):
    """No group, no passthrough (K14)."""
    assert not kernel.iommu_groups()
    for address, device in scanned.items():
        assert device["assignable"] is False, address
        assert device["reasons"], address


@pytest.mark.topologies("workstation", "server", "legacy", "hotplug")
def test_bridges_are_never_assignable_and_a_plain_nic_is(topology, scanned):
    """vfio-pci refuses every bridge (K13)."""
    assert all(not device["assignable"] for device in scanned.values() if device["header"] == "bridge")
    assert scanned[topology.default_route]["assignable"] is True
