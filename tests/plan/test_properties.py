"""What is true of every plan, whatever the host and the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.plan.hosts import CATALOG, NOWHERE, bindings, hosts, records_of, requests
from tests.plan.kernel_rules import play
from tests.support.fixtures import unpacked
from tests.support.machines import machines
from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.situation import ExclusiveDisk, NodeMode, SshSession
from vfioctl.plan.bind import plan_bind
from vfioctl.plan.foresee import foresee
from vfioctl.plan.plan import Severity
from vfioctl.plan.steps import OwnNode
from vfioctl.plan.unbind import plan_unbind
from vfioctl.sysfs.dump import format_dump
from vfioctl.sysfs.reader import read_host

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.support.tree import HostTree
    from vfioctl.model.address import PciAddress
    from vfioctl.model.drivers import DriverCatalog
    from vfioctl.model.host import Host
    from vfioctl.model.situation import Situation
    from vfioctl.plan.plan import Plan, Request

    Way = tuple[Callable[[Host, DriverCatalog, Situation, Request], Plan], tuple[str | None, ...]]

BIND = (plan_bind, (None, None, "auto", "vfio-pci", "vfio_pci", "mlx5_vfio_pci", "nvme", "no_such_driver"))
UNBIND = (plan_unbind, (None, None, "nvme", "no_such_driver"))
BOTH = st.sampled_from([BIND, UNBIND])


def allowed(host: Host, request: Request) -> set[PciAddress]:
    """Return how far a request may reach: its groups, its companions, and their groups, over and over."""
    found: set[PciAddress] = set()
    waiting = list(request.devices)
    while waiting:
        device = host.by_address[waiting.pop()]
        if device.address in found:
            continue
        found.add(device.address)
        group = host.group_of(device)
        # USB 1 controllers are the companions of the USB 2 controller in their slot (K60).
        usb = [
            one for one in host.same_slot(device) if one.class_code >> 8 == device.class_code >> 8 == 0x0C03
        ]
        waiting += [*(group.members if group else ()), *device.companions, *(one.address for one in usb)]
    return found


def owned(plan: Plan, request: Request) -> tuple[NodeMode, ...]:
    """Return the nodes as a plan leaves them."""
    steps = [step for step in plan.steps if isinstance(step, OwnNode)]
    return tuple(NodeMode(step.path, request.uid or 0, 0, request.mode or 0o600) for step in steps)


@given(data=st.data(), way=BOTH)
def test_a_plan_after_the_plan_is_empty(data: st.DataObject, way: Way) -> None:
    """What is done is done: nothing is written twice, and nothing that is so already is refused."""
    host = data.draw(hosts())
    request = data.draw(requests(host, drivers=way[1]))
    plan = way[0](host, CATALOG, NOWHERE, request)

    again = way[0](foresee(host, plan), CATALOG, NOWHERE._replace(nodes=owned(plan, request)), request)

    assert again.moves == ()
    assert again.steps == ()


@given(data=st.data())
def test_unbind_brings_everything_back(data: st.DataObject) -> None:
    """Drivers and overrides are those from before the bind, with what was recorded of them."""
    host = data.draw(hosts(vfio=False))
    request = data.draw(requests(host))
    # A bridge that was released beyond the request does not come back by the request alone.
    assume(not (request.device_only and request.release_shpchp))
    bind = plan_bind(host, CATALOG, NOWHERE, request)
    bound = foresee(host, bind)

    unbind = plan_unbind(bound, CATALOG, NOWHERE._replace(records=records_of(host, bind)), request)

    assert bindings(foresee(bound, unbind)) == bindings(host)


@given(data=st.data(), way=BOTH)
def test_no_plan_touches_a_stranger(data: st.DataObject, way: Way) -> None:
    """Only the devices asked for, their groups and companions; with --device-only not even those."""
    host = data.draw(hosts())
    request = data.draw(requests(host, drivers=way[1]))

    plan = way[0](host, CATALOG, NOWHERE, request)

    touched = {step.address for step in plan.steps} - {None}
    bridges = {device.address for device in host.devices if device.is_bridge}
    assert {move.address for move in plan.moves} <= touched <= set(plan.scope) | bridges
    assert touched <= allowed(host, request)
    if request.device_only and not request.release_shpchp:
        assert touched <= set(request.devices)


@given(data=st.data(), way=BOTH)
def test_units_are_whole_and_apart(data: st.DataObject, way: Way) -> None:
    """No group is split between two units, which may run at the same time; each unit's steps can be taken."""
    host = data.draw(hosts())
    plan = way[0](host, CATALOG, NOWHERE, data.draw(requests(host, drivers=way[1])))

    groups = [
        {host.by_address[move.address].iommu_group for move in unit.moves} - {None} for unit in plan.units
    ]
    reached = play(bindings(host), plan.steps)

    assert len(set().union(*groups)) == sum(map(len, groups))
    assert len({move.address for move in plan.moves}) == len(plan.moves)
    for move in plan.moves:
        assert move.before == bindings(host)[move.address]
        assert move.kernel_decides or reached[move.address] == move.goal


@given(data=st.data(), way=BOTH)
def test_findings_do_not_change_the_steps(data: st.DataObject, way: Way) -> None:
    """A refused plan still shows what it would do; --force lifts refusals and nothing else."""
    host = data.draw(hosts())
    request = data.draw(requests(host, drivers=way[1]))
    quiet = way[0](host, CATALOG, NOWHERE, request)
    first = request.devices[0]
    loud = NOWHERE._replace(
        sessions=(SshSession("192.0.2.1", "eth0", (first,)),),
        exclusive=(ExclusiveDisk(first, "sda"),),
        unknown=("something is not known",),
    )
    checks = frozenset({"storage", "storage-root", "net", "ssh", "console", "gpu-busy", "input", "mdev"})

    refused = way[0](host, CATALOG, loud, request)
    forced = way[0](host, CATALOG, loud, request._replace(force=checks))

    assert refused.steps == quiet.steps == forced.steps
    assert {one.check for one in forced.refusals} == {one.check for one in refused.refusals} - checks
    assert {one[3:4] for one in forced.findings} <= {one[3:4] for one in refused.findings}


@given(data=st.data(), way=BOTH)
def test_a_finding_says_what_and_what_to_do(data: st.DataObject, way: Way) -> None:
    """Two parts, always; and a plan without steps refuses only what could not be planned."""
    host = data.draw(hosts())
    request = data.draw(requests(host, drivers=way[1]))

    plan = way[0](host, CATALOG, NOWHERE, request)

    for finding in plan.findings:
        assert finding.message
        assert finding.hint or finding.severity is Severity.NOTE, finding
    assert plan.exit_code in {0, 4, 5}


@given(data=st.data())
def test_what_is_asked_for_is_refused_or_arrives(data: st.DataObject) -> None:
    """No device is left out without a word."""
    host = data.draw(hosts())
    request = data.draw(requests(host))

    plan = plan_bind(host, CATALOG, NOWHERE, request)

    assume(not plan.refusals)
    then = foresee(host, plan)
    assert all(is_vfio_driver(then.by_address[address].driver) for address in request.devices)


@settings(
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
    max_examples=settings().max_examples // 5,
)
@given(machine=machines(), data=st.data())
def test_generated_machines_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, machine: HostTree, data: st.DataObject
) -> None:
    """Through the reader: with domains, bridges and attributes missing here and there."""
    host = read_host(unpacked(tmp_path_factory.mktemp("machine"), format_dump(machine.entries())))
    assume(host.devices)
    request = data.draw(requests(host))
    drivers = frozenset({device.driver for device in host.devices if device.driver is not None})
    catalog = CATALOG._replace(registered=CATALOG.registered | drivers)
    bind = plan_bind(host, catalog, NOWHERE, request)
    bound = foresee(host, bind)

    unbind = plan_unbind(bound, catalog, NOWHERE._replace(records=records_of(host, bind)), request)

    was, now = bindings(host), bindings(foresee(bound, unbind))
    for move in bind.moves:
        override = was[move.address].override
        assert now[move.address].driver == was[move.address].driver
        assert now[move.address].override == (None if is_vfio_driver(override) else override)
