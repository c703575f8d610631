"""From scan to a virtual machine of libvirt's that has the device, and back: each shape of a host device."""

from __future__ import annotations

import operator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from tests.lab.guest import bindings, cli, kernel, libvirt, machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.once, pytest.mark.topologies("libvirt"), pytest.mark.deadline(180)]


class Shape(NamedTuple):
    """What is asked for, with which options, and which functions the virtual machine then has open."""

    name: str
    asked: str
    functions: tuple[str, ...]
    seen: int
    """How many of them the guest sees; the others are there for their group's sake."""
    options: tuple[str, ...] = ()
    bind: tuple[str, ...] = ()
    bridge: str = ""
    """A bridge in their group whose driver keeps the group from VFIO."""


ALONE = Shape("alone", "0000:02:00.0", ("0000:02:00.0",), 1)
CARD = Shape("card_of_two_functions", "0000:03:00", ("0000:03:00.0", "0000:03:00.1"), 2)
BEHIND_A_BRIDGE = Shape(
    "behind_a_bridge", "0000:05:01.0", ("0000:05:01.0", "0000:05:02.0"), 1, ("--group",), ("--release-shpchp",),
    "0000:00:05.0",
)
NAME: Final = operator.attrgetter("name")


def prepared(virsh: libvirt.Virsh, shape: Shape, managed: str) -> Path:
    """Write a domain with the devices of a shape, that vfioctl has nothing to say against."""
    path = virsh.file("web1")
    words = (shape.asked, *shape.options, "--managed", managed, "--domain", str(path))
    done = cli.vfioctl("libvirt-xml", *words)
    assert done.exit_code == 0, done.stderr
    checked = cli.vfioctl("libvirt-xml", "--check", str(path))
    assert checked.exit_code == 0, checked.stdout + checked.stderr
    return path


def started(virsh: libvirt.Virsh, path: Path, shape: Shape) -> None:
    """Start it: libvirt shows the devices as they were written, and QEMU has them open."""
    virsh.start(path)
    wanted = libvirt.host_devices(path.read_text(encoding="utf-8"))
    there = virsh.devices(path.stem)
    assert len(wanted) == len(there) == len(shape.functions)
    for ours, theirs in zip(wanted, there, strict=True):
        assert libvirt.lacking(ours, theirs) == []
    assert {kernel.driver_of(address) for address in shape.functions} == {"vfio-pci"}
    assert machine.held_by(virsh.pid(path.stem)) == shape.seen


def is_named_as_the_holder(virsh: libvirt.Virsh, shape: Shape) -> None:
    """The virtual machine, by scan and groups; and unbind does not take from it."""
    holder = f"VM web1 (qemu-system-x86, pid {virsh.pid('web1')})"
    assert holder in cli.vfioctl("groups", f"group:{kernel.group_of(shape.functions[0])}").stdout
    seen = cli.devices()
    for address in shape.functions:
        assert any(holder in use["detail"] for use in seen[address]["usage"]), seen[address]
    assert holder in bindings.refused("unbind", shape.asked, check="vm").stderr
    assert machine.held_by(virsh.pid("web1")) == shape.seen


@contextmanager
def driverless(bridge: str) -> Iterator[None]:
    """Have a bridge without its driver, if there is one; given back at the end."""
    driver = kernel.driver_of(bridge) if bridge else ""
    if driver:
        kernel.unbind(bridge)
    yield
    if driver:
        kernel.write(kernel.DRIVERS / driver / "bind", bridge)


@pytest.mark.parametrize("shape", [ALONE, BEHIND_A_BRIDGE], ids=NAME)
def test_what_vfioctl_has_bound_is_given_to_a_vm_and_taken_back(shape: Shape, virsh: libvirt.Virsh) -> None:
    """managed='no': libvirt leaves the binding to vfioctl, before and after."""
    before = bindings.bindings()
    bindings.done("bind", shape.asked, *shape.bind)
    bound = bindings.bindings()
    started(virsh, prepared(virsh, shape, "no"), shape)
    is_named_as_the_holder(virsh, shape)
    virsh("destroy", "web1")
    assert bindings.bindings() == bound
    bindings.done("unbind", shape.asked)
    assert bindings.bindings() == before


@pytest.mark.parametrize("shape", [ALONE, CARD, BEHIND_A_BRIDGE], ids=NAME)
def test_libvirt_takes_what_the_host_has_and_gives_it_back(shape: Shape, virsh: libvirt.Virsh) -> None:
    """managed='yes', straight from the drivers of the host; a bridge's driver is not libvirt's to release."""
    with driverless(shape.bridge):
        before = bindings.bindings()
        started(virsh, prepared(virsh, shape, "yes"), shape)
        is_named_as_the_holder(virsh, shape)
        virsh("destroy", "web1")
        kernel.settle()
        assert bindings.bindings() == before


@pytest.mark.kernels("6.12")
def test_what_libvirt_had_unmanaged_before_it_does_not_give_back_and_unbind_does(virsh: libvirt.Virsh) -> None:
    """It keeps a list of devices as it first saw them, until its daemon is started anew (seen with 9.0).

    The list is libvirt's own, and the same on each kernel.
    """
    before = bindings.bindings()
    bindings.done("bind", ALONE.asked)
    virsh.start(prepared(virsh, ALONE, "no"))
    virsh("destroy", "web1")
    bindings.done("unbind", ALONE.asked)
    virsh("undefine", "web1")
    virsh.start(prepared(virsh, ALONE, "yes"))
    virsh("destroy", "web1")
    kernel.settle()
    assert kernel.driver_of(ALONE.asked) == "vfio-pci"
    bindings.done("unbind", ALONE.asked)
    assert bindings.bindings() == before
