"""Virtual functions made and removed: read back, taken back, never half forgotten."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from tests.support.fake_kernel import Crash, Device, FakeKernel, Fault, machine
from vfioctl.apply.journal import read_unfinished
from vfioctl.apply.port import Look, Settle, Write
from vfioctl.apply.recovery import recover
from vfioctl.apply.settings import Settings
from vfioctl.apply.transaction import carry_out
from vfioctl.model.address import PciAddress
from vfioctl.model.drivers import DriverCatalog
from vfioctl.model.situation import Situation
from vfioctl.plan.outcome import Report, Result, Status
from vfioctl.plan.plan import Plan, Unit
from vfioctl.plan.recover import plan_recover
from vfioctl.plan.steps import AwaitVfs, SetAutoprobe, SetVfs

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.model.host import Host
    from vfioctl.plan.unfinished import Unfinished

NO_DRIVERS = DriverCatalog(frozenset(), (), frozenset(), None)
NIC, DISK = PciAddress.parse("05:00.1"), PciAddress.parse("03:00.0")


@pytest.fixture
def kernel() -> FakeKernel:
    """Return a machine with a NIC that can be split, and an NVMe drive that can."""
    return machine(
        [
            Device(str(NIC), 12, ("i40e",), "i40e", total_vfs=64),
            Device(str(DISK), 4, ("nvme",), "nvme", total_vfs=8, autoprobe=False),
        ]
    )


def making(*addresses: PciAddress, number: int = 4) -> Plan:
    """Plan to make virtual functions where none are."""
    units = [
        Unit(
            (),
            (
                SetAutoprobe(one, on=False, before=True),
                SetVfs(one, number, 0),
                AwaitVfs(one, number),
                SetAutoprobe(one, on=True, before=False),
            ),
        )
        for one in addresses
    ]
    return Plan("sriov set", addresses, addresses, units=tuple(units))


def removing(kernel: FakeKernel) -> Plan:
    """Plan to remove the NIC's."""
    step = SetVfs(NIC, 0, kernel.devices[str(NIC)].virtual_functions)
    return Plan("sriov off", (NIC,), (NIC,), units=(Unit((), (step,)),))


def run(kernel: FakeKernel, plan: Plan, state: str) -> Report:
    """Carry a plan out."""
    return carry_out(lambda: plan, Settings(state=state), observe=lambda _: None, port=kernel)


def stands(kernel: FakeKernel, address: PciAddress = NIC) -> tuple[int, bool]:
    """Return how many virtual functions there are, and whether drivers would take new ones."""
    device = kernel.devices[str(address)]
    return device.virtual_functions, device.autoprobe


def test_they_are_made_and_removed(kernel: FakeKernel, state: str) -> None:
    """Probing is as it was before, and no journal is left."""
    made = run(kernel, making(NIC), state)
    between = stands(kernel)
    removed = run(kernel, removing(kernel), state)

    assert (made.result, made.exit_code, between) == (Result.DONE, 0, (4, True))
    assert (removed.result, stands(kernel)) == (Result.DONE, (0, True))
    assert kernel.writes[:2] == [
        ("/sys/bus/pci/devices/0000:05:00.1/sriov_drivers_autoprobe", "0"),
        ("/sys/bus/pci/devices/0000:05:00.1/sriov_numvfs", "4"),
    ]
    assert read_unfinished(state) is None


def test_udev_is_waited_for_before_drivers_may_probe_again(kernel: FakeKernel, state: str) -> None:
    """A driver that comes as a module is loaded late, and takes what has none as soon as it may (H48)."""
    run(kernel, making(NIC), state)

    words = [type(one).__name__ for one in kernel.commands if isinstance(one, Write | Look | Settle)]
    assert words[:5] == ["Write", "Write", "Look", "Settle", "Write"]
    assert not kernel.devices[str(NIC)].vfs_taken


def test_a_udev_that_comes_to_no_end_is_a_failure(kernel: FakeKernel, state: str) -> None:
    """Rolled back: whether a driver would take them cannot be known."""
    kernel.counted, kernel.faults = (Settle,), {0: Fault(errno.ETIMEDOUT)}

    report = run(kernel, making(NIC), state)

    assert (report.result, stands(kernel)) == (Result.ROLLED_BACK, (0, True))
    assert [one.errno for one in report.outcomes if one.status is Status.FAILED] == [errno.ETIMEDOUT]


def test_fewer_than_asked_for_are_taken_back(kernel: FakeKernel, state: str) -> None:
    """The driver called it a success (K38); what was found is told."""
    kernel.devices[str(NIC)].most_vfs = 2

    report = run(kernel, making(NIC), state)

    assert (report.result, report.exit_code, stands(kernel)) == (Result.ROLLED_BACK, 7, (0, True))
    assert [(one.status, one.seen) for one in report.outcomes] == [
        (Status.UNDONE, None),
        (Status.FAILED, "2"),
        (Status.SKIPPED, None),
        (Status.SKIPPED, None),
    ]
    assert [one.step for one in report.undo] == [
        SetVfs(NIC, 0, 4),
        SetAutoprobe(NIC, on=True, before=False),
    ]


@pytest.mark.parametrize("number", [65, 100])
def test_what_the_kernel_refuses_leaves_nothing(kernel: FakeKernel, state: str, number: int) -> None:
    """And what was done for another device in the same call is taken back as well."""
    plan = making(NIC, DISK, number=8)
    bad = making(NIC, number=number).units

    report = run(kernel, plan._replace(units=(*plan.units[1:], *bad)), state)

    assert report.result is Result.ROLLED_BACK
    assert [one.errno for one in report.outcomes if one.status is Status.FAILED] == [errno.ERANGE]
    assert (stands(kernel), stands(kernel, DISK)[0]) == ((0, True), 0)
    assert read_unfinished(state) is None


@pytest.mark.parametrize("broken", range(4))
def test_each_write_may_fail(kernel: FakeKernel, state: str, broken: int) -> None:
    """Whichever it is, everything is as it was before, and said to be so."""
    kernel.faults = {broken: Fault(errno=errno.EIO)}

    report = run(kernel, making(NIC), state)

    expected = (Result.DONE, (4, True)) if broken == 3 else (Result.ROLLED_BACK, (0, True))
    assert (report.result, stands(kernel)) == expected


def test_a_way_back_that_fails_is_not_called_one(kernel: FakeKernel, state: str) -> None:
    """The setting could not be restored: partial, and the journal stands."""
    path = f"/sys/bus/pci/devices/{NIC}/sriov_drivers_autoprobe"
    kernel.refused_writes = {(path, "1"): errno.EIO}

    report = run(kernel, making(NIC), state)

    assert (report.result, report.exit_code, stands(kernel)) == (Result.PARTIAL, 8, (0, False))
    assert read_unfinished(state) is not None


def test_a_removal_that_hangs_is_left_alone(kernel: FakeKernel, state: str) -> None:
    """Somebody opened one in between: no second write of this kind is begun (K56)."""
    run(kernel, making(NIC), state)
    kernel.devices[str(NIC)].vf_held = True
    kernel.commands.clear()

    report = run(kernel, removing(kernel), state)
    unfinished = read_unfinished(state)

    assert (report.result, report.exit_code) == (Result.STUCK, 8)
    assert len(kernel.writes) == 1
    assert unfinished is not None
    assert unfinished.stuck


@pytest.mark.parametrize("crashed", range(3))
@pytest.mark.parametrize("happens", [False, True])
@pytest.mark.parametrize("finish", [False, True])
def test_a_crash_is_mended(
    kernel: FakeKernel,
    state: str,
    sample_host: Callable[[str], Host],
    crashed: int,
    *,
    happens: bool,
    finish: bool,
) -> None:
    """Wherever it was killed: drivers take new virtual functions again, and those made are named."""
    kernel.faults = {crashed: Fault(crash=True, happens=happens)}
    with pytest.raises(Crash):
        run(kernel, making(NIC), state)
    unfinished = read_unfinished(state)
    made = kernel.again().devices[str(NIC)].virtual_functions

    def plan_for(left: Unfinished) -> Plan:
        return plan_recover(sample_host("sample"), NO_DRIVERS, left, Situation(kernel.boot_id), finish=finish)

    report = recover(plan_for, Settings(state=state), observe=lambda _: None, port=kernel)

    assert unfinished is not None
    assert [one.address for one in unfinished.probing] == [NIC]
    assert report is not None
    assert (report.result, stands(kernel)) == (Result.DONE, (made, True))
    assert [(one.check, one.address) for one in report.plan.findings] == [("journal", NIC)]
    assert read_unfinished(state) is None
