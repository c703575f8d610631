"""What an errno means at a step, and what to do about it."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.model.factory import at, make_device, make_host
from tests.plan.hosts import VM
from vfioctl.model.device import Header, PhysicalFunction
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.plan.explain import Explanation, explain
from vfioctl.plan.outcome import Status, StepOutcome
from vfioctl.plan.steps import BindDriver, LoadModule, OwnNode, ProbeDrivers, SetOverride, UnbindDriver

if TYPE_CHECKING:
    from vfioctl.plan.steps import Step

DEVICE = at("65:00.0")
VFIO, NVME = BindDriver(DEVICE, "vfio-pci"), BindDriver(DEVICE, "nvme")
PROBE, UNBIND = ProbeDrivers(DEVICE), UnbindDriver(DEVICE, "nvme")
LEAVE = UnbindDriver(DEVICE, "vfio-pci")
OVERRIDE, CLEAR = SetOverride(DEVICE, "vfio-pci"), SetOverride(DEVICE, None)
LOAD, NODE = LoadModule("vfio_pci"), OwnNode(1, (DEVICE,), 107, None, 0o660)
STEPS = [VFIO, NVME, PROBE, UNBIND, LEAVE, OVERRIDE, CLEAR, LOAD, NODE]
NAMES = ["vfio", "host", "probe", "unbind", "leave", "override", "clear", "load", "node"]
NUMBERS = [
    None,
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENODEV, errno.EINVAL, errno.EBUSY, errno.EAGAIN),
    *(errno.ENOENT, errno.ERANGE, errno.ENOSPC, errno.ENOTTY, errno.EIO, errno.ENOMEM, errno.ENXIO),
    *(errno.ETIMEDOUT, 524),
]
BY_HAND = re.compile(
    r"\b(vfioctl|sudo|dmesg|modprobe|modinfo|ls|cat|echo|readlink|grep|udevadm|ps|free|fuser|mount|driverctl)\b"
    r"|--\w+|firmware"
)
"""A command, an option, or a place where something is switched."""


def failed(step: Step, number: int | None = None, seen: str | None = None, **fields: Any) -> Explanation:  # noqa: ANN401 - fields of a device
    """Explain a failure on a host with this device."""
    return explain(StepOutcome(step, Status.FAILED, number, seen), make_host(make_device(**fields)))


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: errno.errorcode.get(number, str(number)))
def test_every_errno_at_every_step_is_explained(step: Step, number: int | None) -> None:
    """Which device, what the kernel said, at least one cause, and something to type."""
    found = failed(step, number, "no driver" if number is None else None)
    elsewhere = explain(StepOutcome(step, Status.FAILED, number), make_host())

    assert str(step.address or "vfio_pci") in found.what or step.path in found.what
    if number is not None:
        assert errno.errorcode.get(number, str(number)) in found.what
    for one in (found, elsewhere):
        assert one.why
        assert all(one.why)
        assert BY_HAND.search(one.hint), one.hint


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_every_step_that_is_stuck_is_explained(step: Step) -> None:
    """It goes on in the kernel; recover comes after."""
    found = explain(StepOutcome(step, Status.STUCK), make_host(make_device()))

    assert "has not answered" in found.what
    assert found.why
    assert "vfioctl recover" in found.hint


SIBLING = Usage(UsageKind.PROCESS, "pid 77", "dpdk-testpmd (pid 77) has /dev/vfio/1 open")

FIRST: list[tuple[Step, int | None, str | None, dict[str, Any], str, str]] = [
    (VFIO, errno.EINVAL, None, {"header": Header.BRIDGE}, "it is a bridge", "vfioctl scan"),
    (VFIO, errno.EINVAL, None, {"iommu_group": None}, "no IOMMU group", "iommu_group"),
    (VFIO, errno.EINVAL, None, {"device_id": 0x37C8}, "disable_denylist=1", "disable_denylist=1"),
    (VFIO, errno.EINVAL, None, {"device_id": 0x37C8, "iommu_group": None}, "no IOMMU group", "iommu_group"),
    (VFIO, errno.EINVAL, None, {}, "it is a bridge, or has no IOMMU group, or", "dmesg"),
    (
        VFIO,
        errno.EBUSY,
        None,
        {"sriov": PhysicalFunction(4, (at("65:02.0"),))},
        "virtual functions",
        "vfioctl sriov off",
    ),
    (VFIO, errno.EBUSY, None, {}, "something else has bound it", "readlink"),
    (
        VFIO,
        errno.ENODEV,
        None,
        {},
        "driver_override",
        "cat /sys/bus/pci/devices/0000:65:00.0/driver_override",
    ),
    (VFIO, errno.ENOENT, None, {}, "there is no driver vfio-pci", "modprobe vfio-pci"),
    (NVME, errno.EBUSY, None, {"usage": (VM,)}, VM.detail, "vfioctl groups group:1"),
    (NVME, errno.EBUSY, None, {}, "in use by a virtual machine", "vfioctl groups group:1"),
    (NVME, errno.EINVAL, None, {}, "what nvme answered", "dmesg"),
    (NVME, errno.ENOMEM, None, {}, "out of memory", "free"),
    (NVME, errno.EAGAIN, None, {}, "waits for something else", "--timeout"),
    (NVME, None, "vfio-pci", {}, "new_id", "echo 8086 10e8 > /sys/bus/pci/drivers/vfio-pci/remove_id"),
    (NVME, None, "no driver", {}, "let go of it again", "dmesg"),
    (PROBE, errno.EINVAL, None, {"usage": (SIBLING,)}, SIBLING.detail, "vfioctl groups group:1"),
    (PROBE, None, "vfio-pci", {}, "ids=", "echo 8086 10e8 > /sys/bus/pci/drivers/vfio-pci/remove_id"),
    (PROBE, errno.ENODEV, None, {}, "the device is gone", "vfioctl scan"),
    (UNBIND, errno.ENODEV, None, {}, "not on nvme any more", "readlink"),
    (UNBIND, None, "nvme", {}, "again at once", "driverctl"),
    (OVERRIDE, None, "(null)", {}, "something else moves it too", "driver_override"),
    (CLEAR, errno.ENOENT, None, {}, "the device is gone", "vfioctl scan"),
    (OVERRIDE, errno.EACCES, None, {}, "not root", "sudo vfioctl"),
    (OVERRIDE, errno.EROFS, None, {}, "read-only", "mount -o remount,rw /sys"),
    (
        LOAD,
        None,
        "modprobe: FATAL: Module vfio_pci not found in directory /lib",
        {},
        "not installed",
        "modinfo vfio_pci",
    ),
    (LOAD, None, "could not insert 'vfio_pci': Key was rejected by service", {}, "Secure Boot", "lockdown"),
    (LOAD, None, "modprobe said yes, but there is no /sys/module/vfio_pci", {}, "install line", "modprobe.d"),
    (LOAD, None, "odd", {}, "blacklisted", "modprobe -v vfio_pci"),
    (NODE, errno.ENOENT, None, {}, "has not appeared", "ls -l /dev/vfio"),
    (NODE, None, "0 0 0600", {}, "udev rule", "rules.d"),
]


@pytest.mark.parametrize(("step", "number", "seen", "fields", "why", "hint"), FIRST)
def test_the_most_likely_cause_is_first(
    step: Step, number: int | None, seen: str | None, fields: dict[str, Any], why: str, hint: str
) -> None:
    """By what the host knows of the device; the hint is about that cause."""
    found = failed(step, number, seen, **fields)

    assert why in found.why[0]
    assert hint in found.hint


def test_who_holds_what_is_stuck_is_named() -> None:
    """The device's own holders, and those of its siblings (K33)."""
    host = make_host(make_device(usage=(VM,)), make_device("65:00.1", usage=(VM, SIBLING)))

    found = explain(StepOutcome(LEAVE, Status.STUCK), host)

    assert found.why == (VM.detail, SIBLING.detail)
    assert found.hint == "end that program; then: vfioctl recover"


def test_a_driver_that_waits_for_ever_is_known_for_it() -> None:
    """NVIDIA's says so in the log and waits (K35)."""
    found = explain(StepOutcome(UnbindDriver(DEVICE, "nvidia"), Status.STUCK), make_host(make_device()))

    vfio = explain(StepOutcome(LEAVE, Status.STUCK), make_host(make_device()))
    assert "a program has the device open" in vfio.why[0]
    assert "nvidia waits until nothing uses the device" in found.why[0]
    assert "fuser" in found.hint


def test_what_the_kernel_said_is_kept() -> None:
    """Also where it said yes and did not mean it (K4, K8)."""
    assert (
        failed(VFIO, errno.EINVAL).what == "0000:65:00.0: giving it to vfio-pci: the kernel said no (EINVAL)"
    )
    assert failed(CLEAR, None, "vfio-pci").what.endswith(
        ": setting driver_override to nothing: the kernel said yes, but found afterwards: vfio-pci"
    )
    assert failed(LOAD, None, "modprobe: no").what == "loading the module vfio_pci: modprobe: no"
