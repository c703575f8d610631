"""Where a device goes when it is given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model.factory import at, make_device, make_host
from tests.plan.hosts import CATALOG, NOWHERE
from vfioctl.errors import NotFoundError, UsageError
from vfioctl.model.binding import Binding, Move, Record
from vfioctl.plan.plan import Request, Severity
from vfioctl.plan.steps import LoadModule, ProbeDrivers, SetOverride, UnbindDriver
from vfioctl.plan.unbind import plan_unbind

if TYPE_CHECKING:
    from vfioctl.plan.plan import Plan

DEVICE = at("65:00.0")
VFIO = Binding("vfio-pci", "vfio-pci")


def unbind(
    now: Binding,
    origin: Binding | None = None,
    *,
    driver: str | None = None,
    ids: tuple[int, int] = (0x8086, 0x10E8),
) -> Plan:
    """Plan to give back a device that stands like this and came from there."""
    host = make_host(make_device(driver=now.driver, driver_override=now.override))
    records = () if origin is None else (Record(DEVICE, *ids, origin),)
    return plan_unbind(host, CATALOG, NOWHERE._replace(records=records), Request((DEVICE,), driver=driver))


@pytest.mark.parametrize(
    ("origin", "driver", "goal"),
    [
        (Binding("nvme", None), None, Binding("nvme", None)),
        (Binding("nvme", "nvme"), None, Binding("nvme", "nvme")),
        # What was to take it to VFIO anyway would do so again.
        (Binding("nvme", "vfio-pci"), None, Binding("nvme", None)),
        (Binding(None, None), None, Binding(None, None)),
        (Binding(None, "none"), None, Binding(None, "none")),
        (Binding("nvme", None), "igb", Binding("nvme", None)),
        (None, "igb", Binding("igb", None)),
        (Binding("gone", None), "igb", Binding("igb", None)),
    ],
)
def test_a_device_goes_where_it_came_from_else_where_it_is_sent(
    origin: Binding | None, driver: str | None, goal: Binding
) -> None:
    """The record is first, then --driver."""
    assert unbind(VFIO, origin, driver=driver).moves == (Move(DEVICE, VFIO, goal),)


@pytest.mark.parametrize("driver", [None, "auto"])
def test_without_a_record_the_kernel_decides(driver: str | None) -> None:
    """With the override taken away, or it would decide for VFIO."""
    plan = unbind(VFIO, driver=driver)

    assert plan.steps == (SetOverride(DEVICE, None), UnbindDriver(DEVICE, "vfio-pci"), ProbeDrivers(DEVICE))
    assert plan.findings == ()


def test_the_record_of_another_card_is_not_believed() -> None:
    """Somebody may have put another one into the slot."""
    assert unbind(VFIO, Binding("nvme", None), ids=(0x8086, 0x1234)).moves[0].kernel_decides


def test_a_driver_that_is_gone_is_missed() -> None:
    """The device is given back all the same."""
    plan = unbind(VFIO, Binding("gone", None))

    assert plan.moves[0].kernel_decides
    assert [(one.check, one.severity) for one in plan.findings] == [("driver", Severity.WARN)]
    assert "it came from gone" in plan.findings[0].message


def test_a_driver_that_was_unloaded_is_loaded() -> None:
    """The module is there."""
    catalog = CATALOG._replace(registered=frozenset({"vfio-pci"}), loaded=())
    host = make_host(make_device(driver="vfio-pci"))
    around = NOWHERE._replace(records=(Record(DEVICE, 0x8086, 0x10E8, Binding("nvme", None)),))

    plan = plan_unbind(host, catalog, around, Request((DEVICE,)))

    assert plan.modules == (LoadModule("nvme"),)
    assert plan.moves[0].goal == Binding("nvme", None)


def test_a_driver_beside_the_record_is_not_passed_over_in_silence() -> None:
    """And how to get there is said."""
    plan = unbind(VFIO, Binding("nvme", None), driver="igb")

    assert plan.findings[0].severity is Severity.WARN
    assert "vfioctl bind --driver igb" in plan.findings[0].hint


def test_a_driver_that_nobody_has_is_refused() -> None:
    """Exit code 5."""
    plan = unbind(VFIO, driver="no_such")

    assert plan.exit_code == 5
    assert [one.check for one in plan.refusals] == ["host-cannot"]


@pytest.mark.parametrize("driver", ["vfio-pci", "vfio_pci", "mlx5_vfio_pci"])
def test_to_vfio_is_not_back(driver: str) -> None:
    """That is what bind is for."""
    with pytest.raises(UsageError) as refused:
        unbind(VFIO, driver=driver)

    assert refused.value.hint == f"vfioctl bind --driver {driver} 0000:65:00.0"


@pytest.mark.parametrize(
    "now", [Binding("nvme", None), Binding("nvme", "vfio-pci"), Binding(None, None), Binding(None, "none")]
)
@pytest.mark.parametrize("driver", [None, "nvme"])
def test_what_is_not_vfios_is_where_it_should_be(now: Binding, driver: str | None) -> None:
    """Nothing to do; a driverless device can still be sent somewhere."""
    plan = unbind(now, driver=driver)

    assert plan.refusals == ()
    if now.driver is None and driver is not None:
        assert [move.goal for move in plan.moves] == [Binding("nvme", None)]
    else:
        assert plan.steps == ()


def test_a_device_that_only_waits_for_vfio_is_let_go() -> None:
    """Its override would give it to vfio-pci as soon as that is loaded (K10)."""
    plan = unbind(Binding(None, "vfio-pci"))

    assert plan.steps == (SetOverride(DEVICE, None), ProbeDrivers(DEVICE))


def test_a_half_finished_bind_is_known_by_its_record() -> None:
    """Driverless with a record: it goes back as well, with its group."""
    sibling = at("65:00.1")
    host = make_host(
        make_device(driver="vfio-pci"), make_device("65:00.1", driver=None), make_device("65:00.2")
    )
    around = NOWHERE._replace(records=(Record(sibling, 0x8086, 0x10E8, Binding("igb", None)),))

    plan = plan_unbind(host, CATALOG, around, Request((DEVICE,)))

    assert [move.address for move in plan.moves] == [DEVICE, sibling]
    assert plan.scope == (DEVICE, sibling)


def test_siblings_on_vfio_come_along_unless_told_otherwise() -> None:
    """As they came; those on a driver of the host's stay."""
    host = make_host(
        make_device(driver="nvme"),
        make_device("65:00.1", driver="vfio-pci"),
        make_device("65:00.2", driver="igb"),
    )

    whole = plan_unbind(host, CATALOG, NOWHERE, Request((DEVICE,)))
    alone = plan_unbind(host, CATALOG, NOWHERE, Request((DEVICE,), device_only=True))

    assert [move.address for move in whole.moves] == [at("65:00.1")]
    assert alone.moves == ()


def test_usb_controllers_come_back_together() -> None:
    """EHCI on the host and UHCI at VFIO is the mix that panics (K60)."""
    slow = make_device("00:1a.0", class_code=0x0C0300, driver="vfio-pci", iommu_group=1)
    fast = make_device("00:1a.7", class_code=0x0C0320, driver="vfio-pci", iommu_group=2)
    host = make_host(slow, fast)

    whole = plan_unbind(host, CATALOG, NOWHERE, Request((fast.address,)))
    alone = plan_unbind(host, CATALOG, NOWHERE, Request((fast.address,), device_only=True))
    other = plan_unbind(host, CATALOG, NOWHERE, Request((slow.address,), device_only=True))

    assert [move.address for move in whole.moves] == [slow.address, fast.address]
    assert len(whole.units) == 1
    assert alone.exit_code == 5
    assert other.exit_code == 0


def test_who_is_not_there_is_not_found() -> None:
    """It may have gone between two readings."""
    with pytest.raises(NotFoundError, match=r"0000:99:00\.0"):
        plan_unbind(make_host(), CATALOG, NOWHERE, Request((at("99:00.0"),)))
