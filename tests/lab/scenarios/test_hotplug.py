"""Devices that come and go while the kernel runs, through QEMU's monitor."""

from __future__ import annotations

import subprocess

import pytest

from tests.lab.guest import cli, kernel
from tests.lab.guest.qmp import Monitor

pytestmark = [pytest.mark.topologies("hotplug"), pytest.mark.deadline(180)]

SLOT = "0000:02:00.0"
PORT = "0000:00:02.0"


def present() -> bool:
    """Tell whether the kernel has the hot-added device."""
    return (kernel.DEVICES / SLOT).exists()


@pytest.fixture
def added():
    """A NIC plugged into an empty port, bound by its driver; pulled at the end if it is still there."""
    with Monitor() as monitor:
        monitor.add("e1000e", "extra", "rp2", netdev="net2", romfile="")
        kernel.wait_until(
            lambda: present() and kernel.driver_of(SLOT) == "e1000e", "the NIC to be driven", 60
        )
        kernel.settle()
        yield monitor
        if present():
            monitor.remove("extra")
        kernel.wait_until(lambda: not present() and not monitor.has("extra"), "the NIC to go", 60)


def test_a_device_that_was_plugged_in_is_scanned_with_its_group(added):
    """The next scan sees it, as the kernel does."""
    device = cli.devices()[SLOT]
    assert (device["driver"], device["iommu_group"]) == ("e1000e", kernel.group_of(SLOT))
    assert device["parent"] == PORT


def test_a_device_that_was_pulled_is_gone(added):
    """device_del is the attention button: the kernel lets go, then it is gone."""
    added.remove("extra")
    kernel.wait_until(lambda: not present(), "the NIC to go", 60)
    assert SLOT not in cli.devices()
    assert cli.vfioctl("show", SLOT).exit_code == 3


def test_a_device_that_lost_its_power_is_not_alive(added):
    """The port's slot is switched off behind the kernel's back: configuration reads are all ones (K46)."""
    kernel.unbind(SLOT)
    subprocess.run(["setpci", "-s", PORT, "CAP_EXP+18.w=0400:0400"], check=True)
    try:
        assert cli.devices()[SLOT]["alive"] is False
    finally:
        subprocess.run(["setpci", "-s", PORT, "CAP_EXP+18.w=0000:0400"], check=True)
        kernel.write(kernel.DEVICES / SLOT / "remove", "1")
        kernel.write(kernel.DEVICES.parent / "rescan", "1")
        kernel.wait_until(
            lambda: present() and kernel.driver_of(SLOT) == "e1000e", "the NIC to come back", 60
        )
