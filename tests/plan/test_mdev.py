"""What making and removing mediated devices comes to, and what speaks against it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from vfioctl.errors import NotFoundError
from vfioctl.model.address import PciAddress
from vfioctl.model.kernel import KernelRelease
from vfioctl.plan.explain import explain
from vfioctl.plan.mdev import plan_creation, plan_removal
from vfioctl.plan.outcome import Status, StepOutcome
from vfioctl.plan.plan import Plan, Request
from vfioctl.plan.steps import CreateMdev, RemoveMdev
from vfioctl.plan.undoing import undoing

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.model.host import Host

GPU, TYPE = PciAddress.parse("00:02.0"), "i915-GVTg_V5_8"
THERE = "4b20d080-1b54-4048-85b3-a6a62d165c01"
NEW = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")


@pytest.fixture
def host(sample_host: Callable[[str], Host]) -> Host:
    """Return a host with a GPU that has one mediated device, which a VM has open."""
    return sample_host("mdev")


def creation(host: Host, *uuids: str, kind: str = TYPE) -> Plan:
    """Plan to make mediated devices of the GPU."""
    return plan_creation(host, Request((GPU,)), kind, uuids)


def test_each_uuid_is_one_write(host: Host) -> None:
    """A UUID that is given twice is one device, and one that is there is left alone."""
    assert creation(host, *NEW, NEW[0]).steps == tuple(CreateMdev(GPU, TYPE, uuid) for uuid in NEW)
    assert creation(host, THERE, kind="i915-GVTg_V5_4").steps == ()
    assert creation(host, THERE, kind="i915-GVTg_V5_4").exit_code == 0


@pytest.mark.parametrize(
    ("uuids", "says"),
    [((*NEW, THERE), "UUID of another"), ((*NEW, NEW[0].replace("1", "3")), "2 more of type")],
)
def test_all_or_none(host: Host, uuids: tuple[str, ...], says: str) -> None:
    """More than are left, or a UUID that is taken: refused before anything is written (H50)."""
    found = creation(host, *uuids)

    assert (found.steps, found.exit_code) == ((), 5)
    assert any(says in finding.message for finding in found.refusals)


def test_a_type_goes_by_its_name_too_and_a_wrong_one_lists_the_right_ones(host: Host) -> None:
    """Drivers call their types by names that people read."""
    gpu = host.by_address[GPU]
    named = tuple(kind._replace(name=f"name of {kind.id}") for kind in gpu.mdev_types)
    devices = tuple(one._replace(mdev_types=named) if one is gpu else one for one in host.devices)

    assert creation(host._replace(devices=devices), NEW[0], kind=f"name of {TYPE}").steps
    with pytest.raises(NotFoundError) as told:
        creation(host, NEW[0], kind="GRID")
    assert "i915-GVTg_V5_4, i915-GVTg_V5_8" in told.value.hint


@pytest.mark.parametrize(
    ("vendor", "kernel", "says"),
    [
        (0x10DE, "6.8.0", "current_vgpu_type"),
        (0x10DE, "6.1.0", "vfioctl mdev types"),
        (0x8086, "6.8.0", "i915.enable_gvt=1"),
        (0x1002, "6.8.0", "vfioctl mdev types"),
    ],
)
def test_a_device_without_types_is_told_where_its_maker_has_them(
    host: Host, vendor: int, kernel: str, says: str
) -> None:
    """NVIDIA has none from kernel 6.8 on (K53); of Intel's the switch is off."""
    devices = tuple(
        one._replace(mdev_types=(), vendor_id=vendor) if one.address == GPU else one for one in host.devices
    )
    bare = host._replace(devices=devices, kernel=KernelRelease.parse(kernel))

    found = creation(bare, NEW[0])

    assert found.exit_code == 5
    assert says in found.refusals[0].hint


def test_one_that_somebody_has_open_stays(host: Host) -> None:
    """The VM is named; another one's group is none of its business."""
    held = plan_removal(host, [THERE])
    (mdev,) = host.mdevs
    free = plan_removal(host._replace(mdevs=(mdev._replace(iommu_group=55),)), [THERE])

    assert (held.exit_code, [one.check for one in held.refusals]) == (4, ["vm"])
    assert "VM cad" in held.refusals[0].message
    assert (free.exit_code, free.steps) == (0, (RemoveMdev(GPU, "i915-GVTg_V5_4", THERE),))
    with pytest.raises(NotFoundError):
        plan_removal(host, NEW)


def test_what_was_done_is_taken_back() -> None:
    """Making by removing, and the other way round; nothing while a removal is stuck."""
    made, removed = CreateMdev(GPU, TYPE, NEW[0]), RemoveMdev(GPU, TYPE, NEW[1])
    done = [StepOutcome(made, Status.DONE), StepOutcome(removed, Status.DONE)]

    assert undoing(done) == (CreateMdev(GPU, TYPE, NEW[1]), RemoveMdev(GPU, TYPE, NEW[0]))
    assert undoing([done[0], StepOutcome(removed, Status.STUCK)]) == ()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (errno.EUSERS, "no more of this type"),
        (errno.ENOSPC, "no more of this type"),
        (errno.EEXIST, "with this UUID"),
        (errno.ENOENT, "not there any more"),
        (errno.EINVAL, "takes no such device"),
        (errno.EBUSY, "log may say more"),
        (None, "made none"),
    ],
)
def test_every_errno_has_a_sentence(host: Host, error: int | None, why: str) -> None:
    """For making (K53) and for removing."""
    told = explain(StepOutcome(CreateMdev(GPU, TYPE, NEW[0]), Status.FAILED, error, "x"), host)
    other = explain(StepOutcome(RemoveMdev(GPU, TYPE, NEW[0]), Status.FAILED, error, "x"), host)

    assert why in told.why[0]
    assert other.hint
    assert NEW[0] in other.what
