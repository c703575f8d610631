"""What making and removing virtual functions comes to, and what speaks against it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from vfioctl.errors import NotFoundError
from vfioctl.model.address import PciAddress
from vfioctl.model.device import PhysicalFunction
from vfioctl.model.situation import Situation
from vfioctl.model.splitting import Splitting, Splittings
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.plan.explain import explain
from vfioctl.plan.outcome import Status, StepOutcome
from vfioctl.plan.plan import Plan, Request, Severity
from vfioctl.plan.sriov import plan_sriov
from vfioctl.plan.steps import AwaitVfs, SetAutoprobe, SetVfs
from vfioctl.plan.undoing import undoing

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.model.host import Host

SPLIT, WHOLE = PciAddress.parse("05:00.0"), PciAddress.parse("05:00.1")
VF, GPU = PciAddress.parse("05:02.1"), PciAddress.parse("01:00.0")
PROBING = Splittings((Splitting(SPLIT, True, 0x154C), Splitting(WHOLE, True, 0x154C)))
QUIET = Splittings((Splitting(SPLIT, False, 0x154C), Splitting(WHOLE, False, 0x154C)))


@pytest.fixture
def host(sample_host: Callable[[str], Host]) -> Host:
    """Return the sample host: one port of its NIC has four virtual functions, the other none."""
    return sample_host("sample")


def with_device(host: Host, address: PciAddress, **changes: object) -> Host:
    """Return a host with one device that differs."""
    devices = (
        one._replace(**changes) if one.address == address else one  # type: ignore[arg-type]
        for one in host.devices
    )
    return host._replace(devices=tuple(devices))


def plan(host: Host, address: PciAddress, number: int, *force: str, splittings: Splittings = PROBING) -> Plan:
    """Plan to give a device so many virtual functions."""
    return plan_sriov(host, splittings, Situation(), Request((address,), force=frozenset(force)), number)


def refusals(found: Plan) -> list[str]:
    """Return the checks that refuse a plan."""
    return [finding.check for finding in found.refusals]


def test_no_driver_takes_them_while_they_are_made(host: Host) -> None:
    """Probing is off before the first is made and as it was before after the last (K41, H48)."""
    assert plan(host, WHOLE, 8).steps == (
        SetAutoprobe(WHOLE, on=False, before=True),
        SetVfs(WHOLE, 8, 0),
        AwaitVfs(WHOLE, 8),
        SetAutoprobe(WHOLE, on=True, before=False),
    )
    assert plan(host, WHOLE, 8, splittings=QUIET).steps == (SetVfs(WHOLE, 8, 0), AwaitVfs(WHOLE, 8))


def test_their_number_changes_by_way_of_zero(host: Host) -> None:
    """The kernel has EBUSY for everything else (K37, H45); that bindings are lost is said."""
    found = plan(host, SPLIT, 8)

    assert found.exit_code == 0
    assert [step for step in found.steps if isinstance(step, SetVfs)] == [
        SetVfs(SPLIT, 0, 4),
        SetVfs(SPLIT, 8, 0),
    ]
    assert [(one.check, one.severity) for one in found.findings] == [("vfs", Severity.WARN)]


@pytest.mark.parametrize(("address", "number"), [(SPLIT, 4), (WHOLE, 0)])
def test_what_is_so_already_is_left_alone(host: Host, address: PciAddress, number: int) -> None:
    """No step, no finding, also without a driver: the kernel would say yes to it too (K37)."""
    without = with_device(host, address, driver=None)

    for one in (host, without):
        assert (plan(one, address, number).steps, plan(one, address, number).findings) == ((), ())


@pytest.mark.parametrize(
    ("address", "number", "changes", "says"),
    [
        (GPU, 1, {}, "no SR-IOV capability"),
        (VF, 1, {}, "a virtual function itself"),
        (WHOLE, 65, {}, "64 virtual functions at most"),
        (WHOLE, 1, {"sriov": PhysicalFunction(0, ())}, "0 virtual functions at most"),
        (WHOLE, 1, {"driver": None}, "it has no driver"),
        (WHOLE, 1, {"driver": "vfio-pci"}, "enable_sriov=1"),
        (SPLIT, 0, {"driver": None}, "it has no driver"),
    ],
)
def test_what_the_host_cannot_do_is_refused(
    host: Host, address: PciAddress, number: int, changes: dict[str, object], says: str
) -> None:
    """Before anything is written, in words that do not speak of a missing file (H46); nothing lifts it."""
    found = plan(with_device(host, address, **changes), address, number)

    assert (refusals(found), found.exit_code, found.steps) == (["host-cannot"], 5, ())
    assert says in found.refusals[0].message
    # A way out that is refused itself would be none: nothing else moves a device with virtual functions.
    assert ("drivers_probe" in found.refusals[0].hint) == (address == SPLIT)


def test_vfio_pci_with_enable_sriov_can(host: Host) -> None:
    """And opening them takes a token (K39, H49)."""
    found = plan(
        with_device(host, WHOLE, driver="vfio-pci"), WHOLE, 2, splittings=PROBING._replace(vfio_splits=True)
    )

    assert found.exit_code == 0
    assert SetVfs(WHOLE, 2, 0) in found.steps
    assert "VF token" in found.findings[0].message


@pytest.mark.parametrize("number", [0, 8])
def test_a_held_virtual_function_is_never_removed(host: Host, number: int) -> None:
    """The write would hang and block the whole bus (K56); there is no force for it."""
    use = Usage(UsageKind.PROCESS, "pid 4711", "qemu (pid 4711) has /dev/vfio/17 open")
    held = with_device(host, VF, usage=(use,))

    found = plan(held, SPLIT, number, "net", "storage")

    assert (refusals(found), found.exit_code) == (["vm"], 4)
    assert "pid 4711" in found.refusals[0].message
    assert "kill 4711" in found.refusals[0].hint
    assert refusals(plan(with_device(host, VF, unbinding=True), SPLIT, number)) == ["vm"]
    assert plan(held, WHOLE, 4).exit_code == 0


def test_what_the_host_uses_is_not_removed_unless_it_is_meant(host: Host) -> None:
    """The checks are those of bind, for every virtual function."""
    route = with_device(host, VF, usage=(Usage(UsageKind.ROUTE, "enp5s2v1", "default route"),))

    refused, forced = plan(route, SPLIT, 0), plan(route, SPLIT, 0, "net")

    assert (refusals(refused), refused.exit_code) == (["net"], 4)
    assert refused.refusals[0].hint.endswith("if you mean it: vfioctl sriov off --force net 0000:05:00.0")
    assert (refusals(forced), forced.steps) == ([], (SetVfs(SPLIT, 0, 4),))


def test_what_is_unknown_is_said(host: Host) -> None:
    """A recording without the setting; and a device that is not there."""
    found = plan(host, WHOLE, 4, splittings=Splittings(()))

    assert [finding.check for finding in found.findings] == ["unknown"]
    assert found.steps == (SetVfs(WHOLE, 4, 0), AwaitVfs(WHOLE, 4))
    with pytest.raises(NotFoundError):
        plan(host, PciAddress.parse("77:00.0"), 1)


def test_what_was_done_is_taken_back_last_first() -> None:
    """Also what was done in part; but nothing while a write is stuck: it has the lock (K56)."""
    off, made, on = SetAutoprobe(WHOLE, on=False, before=True), SetVfs(WHOLE, 4, 0), AwaitVfs(WHOLE, 4)
    done = StepOutcome(off, Status.DONE)
    back = SetAutoprobe(WHOLE, on=True, before=False)

    fewer = StepOutcome(made, Status.FAILED, seen="2")
    refused = StepOutcome(made, Status.FAILED, errno.ENOSPC)
    stuck = StepOutcome(made, Status.STUCK)
    late = (StepOutcome(made, Status.DONE), StepOutcome(on, Status.FAILED, errno.ENOENT))

    assert undoing([done, fewer]) == (SetVfs(WHOLE, 0, 4), back)
    assert undoing([done, *late]) == (SetVfs(WHOLE, 0, 4), back)
    assert undoing([done, refused, StepOutcome(on, Status.SKIPPED)]) == (back,)
    assert undoing([done, stuck]) == ()
    assert undoing([]) == ()


@pytest.mark.parametrize(
    ("error", "seen", "driver", "why", "hint"),
    [
        (
            errno.ENOENT,
            None,
            "i40e",
            "i40e cannot make virtual functions (no file is missing)",
            "modinfo i40e",
        ),
        (errno.ENOENT, None, None, "it has no driver", "vfioctl unbind --driver NAME"),
        (errno.ENOENT, None, "vfio-pci", "enable_sriov=1", "vfioctl unbind"),
        (errno.ERANGE, None, "i40e", "64 at most", "ask for fewer"),
        (errno.EBUSY, None, "i40e", "by way of 0 only", "vfioctl sriov off"),
        (errno.ENOSPC, None, "i40e", "MSI-X", "above 4G decoding"),
        (errno.EINVAL, None, "i40e", "takes no such number", "ask for fewer"),
        (errno.EOPNOTSUPP, None, "mlx5_core", "in the mode it is in", "devlink"),
        (None, "3", "i40e", "made 3 and called that a success", "vfioctl sriov set 0000:05:00.1 3"),
    ],
)
def test_every_errno_has_a_sentence(
    host: Host, error: int | None, seen: str | None, driver: str | None, why: str, hint: str
) -> None:
    """The table of K37, and fewer than asked for (K38)."""
    outcome = StepOutcome(SetVfs(WHOLE, 4, 0), Status.FAILED, error, seen)

    told = explain(outcome, with_device(host, WHOLE, driver=driver))

    assert told.what.startswith("0000:05:00.1: making 4 virtual functions: the kernel said ")
    assert why in told.why[0]
    assert hint in told.hint


def test_the_other_steps_have_words_too(host: Host) -> None:
    """No failure is without a cause and something to type."""
    for step in (SetAutoprobe(WHOLE, on=False, before=True), AwaitVfs(WHOLE, 4), SetVfs(WHOLE, 0, 4)):
        for error in (None, errno.ENOENT, errno.EIO):
            for status in (Status.FAILED, Status.STUCK):
                told = explain(StepOutcome(step, status, error, "0"), host)
                assert told.why
                assert told.hint
