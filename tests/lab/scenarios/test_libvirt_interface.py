"""A virtual function as libvirt's interface: address and VLAN are set through the card it is of."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import bindings, cli, kernel, libvirt, machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.once, pytest.mark.topologies("libvirt"), pytest.mark.deadline(180)]
PHYSICAL = "0000:04:00.0"
MAC, VLAN = "52:54:00:12:34:56", "42"


@pytest.fixture
def function() -> Iterator[str]:
    """One virtual function, driven by igbvf."""
    kernel.write(kernel.DEVICES / PHYSICAL / "sriov_numvfs", "1")
    address = (kernel.DEVICES / PHYSICAL / "virtfn0").resolve().name
    kernel.wait_until(lambda: kernel.driver_of(address) == "igbvf", "igbvf", 60)
    kernel.settle()
    yield address
    ip("set", "down")
    kernel.write(kernel.DEVICES / PHYSICAL / "sriov_numvfs", "0")
    kernel.settle()


def ip(command: str, *words: str) -> str:
    """Run `ip link` for the card's own interface, and give what it prints."""
    (interface,) = (kernel.DEVICES / PHYSICAL / "net").iterdir()
    line = ["ip", "link", command, "dev", interface.name, *words]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


def written(virsh: libvirt.Virsh, function: str) -> Path:
    """Write a domain with the function as an interface."""
    path = virsh.file("web1")
    words = (function, "--interface", "--mac", MAC, "--vlan", VLAN, "--domain", str(path))
    done = cli.vfioctl("libvirt-xml", *words)
    assert done.exit_code == 0, done.stderr
    return path


def test_libvirt_sets_address_and_vlan_that_were_written(function: str, virsh: libvirt.Virsh) -> None:
    """The kernel shows them on the card while the virtual machine runs, and not afterwards."""
    ip("set", "up")
    before = bindings.bindings()
    path = written(virsh, function)
    checked = cli.vfioctl("libvirt-xml", "--check", str(path))
    assert checked.exit_code == 0, checked.stdout + checked.stderr
    virsh.start(path)
    (ours,), (theirs,) = libvirt.host_devices(path.read_text(encoding="utf-8")), virsh.devices("web1")
    assert libvirt.lacking(ours, theirs) == []
    assert machine.held_by(virsh.pid("web1")) == 1
    (now,) = functions_of_the_card()
    assert MAC in now
    assert f"vlan {VLAN}" in now
    assert "VM web1" in cli.vfioctl("groups", f"group:{kernel.group_of(function)}").stdout
    assert "VM web1" in bindings.refused("unbind", function, check="vm").stderr
    virsh("destroy", "web1")
    kernel.settle()
    assert bindings.bindings() == before
    (after,) = functions_of_the_card()
    assert MAC not in after
    assert "vlan" not in after


def test_a_card_whose_interface_is_down_keeps_the_vm_from_starting(function: str, virsh: libvirt.Virsh) -> None:
    """Through it libvirt would set the address; `--check` says it before."""
    path = written(virsh, function)
    checked = cli.vfioctl("libvirt-xml", "--check", str(path))
    assert checked.exit_code == 4, checked.stdout
    assert "is down" in checked.stdout
    virsh("define", str(path), "--validate")
    assert "not online" in virsh.refused("start", "web1", "--paused")


def functions_of_the_card() -> list[str]:
    """Give the kernel's lines about the card's virtual functions."""
    return [line for line in ip("show").splitlines() if line.strip().startswith("vf ")]
