"""Plans for every sample host: recorded kernels and machines that were not at hand."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.model.factory import at
from tests.plan.hosts import NOWHERE, bindings, records_of
from tests.support.fixtures import HOST_NAMES
from vfioctl.cli.change_params import FORCEABLE
from vfioctl.model.verdict import reasons_against
from vfioctl.model.viability import assess
from vfioctl.plan import findings
from vfioctl.plan.bind import plan_bind
from vfioctl.plan.foresee import foresee
from vfioctl.plan.plan import Request, Severity
from vfioctl.plan.steps import LoadModule, SetOverride
from vfioctl.plan.unbind import plan_unbind
from vfioctl.sysfs.drivers import read_drivers

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host
    from vfioctl.plan.plan import Plan
    from vfioctl.sysfs.root import HostRoot

    Hosts = Callable[[str], Host]
    Roots = Callable[[str], HostRoot]

ALL = [*HOST_NAMES, "sample"]


def refused(plan: Plan) -> set[tuple[str, PciAddress | None]]:
    """Return which checks refuse a plan, and because of which device."""
    return {(one.check, one.address) for one in plan.refusals}


@pytest.mark.parametrize("name", ALL)
def test_every_device_is_bound_with_a_viable_group_or_refused_with_a_reason(
    name: str, sample_host: Hosts, host_root: Roots
) -> None:
    """There is no third way: nothing is bound for nothing, and nothing refused without a word."""
    host, catalog = sample_host(name), read_drivers(host_root(name))
    for device in host.devices:
        plan = plan_bind(host, catalog, NOWHERE, Request((device.address,)))
        then = foresee(host, plan)
        group = then.group_of(device)

        impossible = not device.on_vfio and reasons_against(host, device)
        assert (plan.exit_code == 5) >= bool(impossible), device.address
        if plan.exit_code != 5 and not any(check == "shpchp" for check, _ in refused(plan)):
            assert then.by_address[device.address].on_vfio
            assert group is not None
            blocked = assess(then, group).blockers
            assert not blocked or not plan.moves, (device.address, blocked)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ALL)
def test_everything_bound_comes_back(name: str, sample_host: Hosts, host_root: Roots) -> None:
    """Bind each device and unbind it again: drivers and overrides as before, with or without its group."""
    host, catalog = sample_host(name), read_drivers(host_root(name))
    was = bindings(host)
    for device in host.devices:
        for only in (False, True):
            request = Request((device.address,), device_only=only)
            bind = plan_bind(host, catalog, NOWHERE, request)
            bound = foresee(host, bind)
            around = NOWHERE._replace(records=records_of(host, bind))
            if device.address not in bound.by_address:
                continue  # what is behind VMD goes with the controller

            now = bindings(foresee(bound, plan_unbind(bound, catalog, around, request)))

            moved = [move.address for move in bind.moves]
            assert {one: now[one] for one in moved} == {one: was[one] for one in moved}


@pytest.mark.parametrize("name", ALL)
def test_hints_can_be_typed(name: str, sample_host: Hosts, host_root: Roots) -> None:
    """What a hint tells to force is a check that can be, and the addresses are those that were asked for."""
    host, catalog = sample_host(name), read_drivers(host_root(name))
    for device in host.devices:
        for finding in plan_bind(host, catalog, NOWHERE, Request((device.address,))).findings:
            assert finding.hint or finding.severity is Severity.NOTE
            _, told, command = finding.hint.partition("if you mean it: ")
            if told:
                words = shlex.split(command)
                assert words == ["vfioctl", "bind", "--force", finding.check, str(device.address)]


def test_what_can_be_forced_is_one_list() -> None:
    """The command line offers exactly what the checks let be lifted."""
    assert set(findings.FORCEABLE) == set(FORCEABLE)


EXPECTED = {
    ("sample", "01:00.0"): {("console", "01:00.0")},
    ("sample", "03:00.0"): {("storage-root", "03:00.0")},
    ("sample", "04:00.0"): {("net", "04:00.0")},
    ("sample", "05:00.0"): {("vfs", "05:00.0")},
    ("sample", "05:02.0"): set(),
    ("sample", "07:05.0"): {("shpchp", "07:04.0")},
    ("sample", "00:17.0"): {("storage", "00:17.0")},
    ("sample", "00:1f.3"): {("host-cannot", "00:1f.3")},
    ("sample", "00:1f.4"): {("host-cannot", "00:1f.4")},
    ("sample", "00:01.0"): {("host-cannot", "00:01.0"), ("console", "01:00.0")},
    ("sample", "02:00.0"): set(),  # in a VM already: nothing to do
    ("vmd", "00:0e.0"): {("storage-root", "10000:e1:00.0"), ("storage", "10000:e2:00.0")},
    ("laptop", "00:02.0"): {("host-cannot", "00:02.0")},
    ("multipath", "01:00.0"): {("storage-root", "01:00.0")},
    ("mdev", "00:02.0"): {("console", "00:02.0"), ("mdev", "00:02.0"), ("vm", "00:02.0")},
}


@pytest.mark.parametrize(("name", "device"), EXPECTED, ids=str)
def test_known_hosts_are_refused_for_known_reasons(
    name: str, device: str, sample_host: Hosts, host_root: Roots
) -> None:
    """Exactly these, no more and no fewer."""
    plan = plan_bind(sample_host(name), read_drivers(host_root(name)), NOWHERE, Request((at(device),)))

    assert refused(plan) == {(check, at(address)) for check, address in EXPECTED[name, device]}


def test_an_old_kernel_has_nothing_against_shpchp(sample_host: Hosts, host_root: Roots) -> None:
    """Before 5.19 a bridge's driver did not matter, so there is nothing to release (K19)."""
    host, catalog = sample_host("legacy"), read_drivers(host_root("legacy"))
    bridge = next(device for device in host.devices if device.driver == "shpchp")
    member = next(
        device for device in host.members(host.by_group[bridge.iommu_group or 0]) if device.driver is None
    )
    request = Request((member.address,), release_shpchp=True)
    old = host._replace(kernel=sample_host("mdev").kernel)

    new_plan, old_plan = (plan_bind(one, catalog, NOWHERE, request) for one in (host, old))

    assert bridge.address in {move.address for move in new_plan.moves}
    assert bridge.address not in {move.address for move in old_plan.moves}
    assert not new_plan.refusals
    assert not old_plan.refusals


def test_usb_controllers_of_one_slot_go_together(sample_host: Hosts, host_root: Roots) -> None:
    """Alone, UHCI would share its ports with an EHCI that stays: the kernel panicked over that (K60)."""
    host, catalog = sample_host("workstation-6.12"), read_drivers(host_root("workstation-6.12"))
    first, second, fast = (at(f"00:1a.{function}") for function in (0, 1, 7))

    together = plan_bind(host, catalog, NOWHERE, Request((first,)))
    alone = plan_bind(host, catalog, NOWHERE, Request((first,), device_only=True))
    named = plan_bind(host, catalog, NOWHERE, Request((first, second, fast), device_only=True))

    assert [move.address for move in together.moves] == [first, second, fast]
    assert len(together.units) == 1
    assert not together.refusals
    assert [one.check for one in alone.refusals] == ["host-cannot"]
    assert str(fast) in alone.refusals[0].message
    assert not named.refusals


def test_a_recording_without_lists_of_modules_is_planned_for_with_a_warning(
    sample_host: Hosts, host_root: Roots
) -> None:
    """Whether vfio-pci is installed there is unknown, which is neither yes nor no."""
    host, catalog = sample_host("workstation"), read_drivers(host_root("workstation"))
    gpu = next(device for device in host.devices if device.driver == "nvidia")

    plan = plan_bind(
        host, catalog, NOWHERE, Request((gpu.address,), force=frozenset({"console", "gpu-busy"}))
    )

    assert plan.modules == (LoadModule("vfio_pci"), LoadModule("vfio_iommu_type1"))
    assert SetOverride(gpu.address, "vfio-pci") in plan.steps
    assert not plan.refusals
    assert any("vfio_pci is installed is not known" in one.message for one in plan.findings)
