"""What is done about a run that did not end by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.factory import at, make_device, make_host
from tests.plan.hosts import CATALOG, NOWHERE, VM, bindings, hosts, requests
from tests.plan.kernel_rules import play
from vfioctl.model.binding import Binding, Move
from vfioctl.model.situation import NodeMode, Situation
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.plan.bind import plan_bind
from vfioctl.plan.foresee import foresee
from vfioctl.plan.plan import Severity
from vfioctl.plan.recover import plan_recover
from vfioctl.plan.steps import LoadModule, OwnNode
from vfioctl.plan.unbind import plan_unbind
from vfioctl.plan.unfinished import Unfinished

if TYPE_CHECKING:
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.plan.plan import Plan
    from vfioctl.plan.steps import Step

DEVICE, OTHER = at("65:00.0"), at("65:00.1")
VFIO, NVME = Binding("vfio-pci", "vfio-pci"), Binding("nvme", None)
BOUND = Move(DEVICE, NVME, VFIO)
NOW = Situation("this-boot")
NODE = OwnNode(1, (DEVICE,), 107, None, None)


def left(*moves: Move, command: str = "bind") -> Unfinished:
    """Return the journal of a run of this boot, with one unit."""
    return Unfinished(command, "this-boot", 4711, "2026-01-01T00:00:00Z", (moves,))


def standing(address: str, now: Binding, **fields: object) -> PciDevice:
    """Return a device as a crash left it."""
    return make_device(address, driver=now.driver, driver_override=now.override, **fields)


def recover(device: PciDevice, unfinished: Unfinished, *, finish: bool = False) -> Plan:
    """Plan for a host with this device."""
    return plan_recover(make_host(device), CATALOG, unfinished, NOW, finish=finish)


@pytest.mark.parametrize(
    ("now", "undo", "finish"),
    [
        (NVME, (), (Move(DEVICE, NVME, VFIO),)),
        (Binding("nvme", "vfio-pci"), (NVME,), (VFIO,)),
        (Binding(None, "vfio-pci"), (NVME,), (VFIO,)),
        (Binding(None, None), (NVME,), (VFIO,)),
        # Arrived: the journal only was not closed any more.
        (VFIO, (), ()),
    ],
)
def test_a_bind_is_undone_or_finished_from_wherever_it_stands(
    now: Binding, undo: tuple[object, ...], finish: tuple[object, ...]
) -> None:
    """The devices say how far it came."""
    back, on = (recover(standing("65:00.0", now), left(BOUND), finish=way) for way in (False, True))

    assert len(back.moves) == len(undo)
    assert len(on.moves) == len(finish)
    assert all(move[1:3] == (now, NVME) for move in back.moves)
    assert all(move[1:3] == (now, VFIO) for move in on.moves)
    assert (back.command, back.scope, back.exit_code) == ("recover", (DEVICE,), 0)


def test_one_device_that_has_not_arrived_brings_all_back() -> None:
    """All or nothing, as it was begun."""
    host = make_host(standing("65:00.0", VFIO), standing("65:00.1", Binding(None, "vfio-pci")))

    plan = plan_recover(host, CATALOG, left(BOUND, BOUND._replace(address=OTHER)), NOW, finish=False)

    assert [move.goal for move in plan.moves] == [NVME, NVME]


def test_after_a_reboot_there_is_nothing_to_undo() -> None:
    """Drivers were given out anew; an unknown boot is not another one."""
    host = make_host(standing("65:00.0", Binding(None, None)))

    other, unknown = (
        plan_recover(host, CATALOG, left(BOUND), Situation(boot), finish=False) for boot in ("other", None)
    )

    assert (other.steps, other.exit_code) == ((), 0)
    assert [one.severity for one in other.findings] == [Severity.NOTE]
    assert unknown.moves


def test_a_device_that_is_gone_is_left_out() -> None:
    """And said to be."""
    plan = recover(standing("65:00.1", Binding(None, None)), left(BOUND, BOUND._replace(address=OTHER)))

    assert [move.address for move in plan.moves] == [OTHER]
    assert [(one.check, one.severity, one.address) for one in plan.findings] == [
        ("journal", Severity.WARN, DEVICE)
    ]


def test_a_blocked_unbind_must_end_first() -> None:
    """Nothing is written to the device, and who holds it is named."""
    plan = recover(standing("65:00.0", Binding(None, None), unbinding=True, usage=(VM,)), left(BOUND))

    assert plan.steps == ()
    assert [one.check for one in plan.refusals] == ["vm"]
    assert "virsh shutdown win11" in plan.refusals[0].hint


def test_what_came_to_use_since_is_not_taken_away() -> None:
    """A VM was started on what was bound; a disk was mounted on what was given back."""
    host = make_host(standing("65:00.0", VFIO, usage=(VM,)), standing("65:00.1", Binding(None, None)))
    started = plan_recover(host, CATALOG, left(BOUND, BOUND._replace(address=OTHER)), NOW, finish=False)
    mount = Usage(UsageKind.MOUNT, "nvme0n1", "nvme0n1 is mounted on /srv")
    host = make_host(standing("65:00.0", NVME, usage=(mount,)), standing("65:00.1", VFIO))
    back = Move(DEVICE, VFIO, NVME)
    mounted = plan_recover(
        host,
        CATALOG,
        left(back, back._replace(address=OTHER), command="unbind"),
        NOW,
        finish=False,
    )

    assert {one.check for one in started.refusals} == {"vm"}
    assert {one.check for one in mounted.refusals} == {"storage"}
    assert mounted.refusals[0].hint == "unmount it: umount /srv"


def test_an_unbind_for_which_the_kernel_decides_is_asked_again() -> None:
    """Until a driver of the host's has it; then the override alone may be left."""
    decided = Move(DEVICE, VFIO, Binding(None, None), kernel_decides=True)
    unfinished = left(decided, command="unbind")

    waiting = recover(standing("65:00.0", Binding(None, None)), unfinished, finish=True)
    stale = recover(standing("65:00.0", Binding("nvme", "nvme")), unfinished, finish=True)
    again = recover(standing("65:00.0", Binding("vfio-pci", None)), unfinished, finish=True)
    arrived = recover(standing("65:00.0", NVME), unfinished)
    back = recover(standing("65:00.0", Binding(None, None)), unfinished)

    assert [move.kernel_decides for move in (*waiting.moves, *again.moves)] == [True, True]
    assert stale.moves == (Move(DEVICE, Binding("nvme", "nvme"), NVME),)
    assert arrived.steps == ()
    assert [move.goal for move in back.moves] == [VFIO]


def test_nodes_get_their_owner_when_it_goes_on() -> None:
    """Also where the bindings had arrived; not on the way back."""
    unfinished = left(BOUND)._replace(nodes=(NODE,))

    arrived = recover(standing("65:00.0", VFIO), unfinished)
    back = recover(standing("65:00.0", Binding(None, None)), unfinished)

    assert arrived.steps == (NODE,)
    assert NODE not in back.steps


def test_nodes_that_stood_before_get_back_what_they_had() -> None:
    """Unless they have it; with --finish, or where all has arrived, what was asked for."""
    had = NodeMode("/dev/vfio/1", 0, 0, 0o600)
    own = NODE._replace(before=(had,))
    alone = left()._replace(nodes=(own,))
    host = make_host(standing("65:00.0", VFIO))

    def steps(unfinished: Unfinished, now: NodeMode, *, finish: bool = False) -> tuple[Step, ...]:
        return plan_recover(host, CATALOG, unfinished, NOW._replace(nodes=(now,)), finish=finish).steps

    changed = had._replace(uid=107)

    assert steps(alone, changed) == (OwnNode(1, (DEVICE,), 0, 0, 0o600),)
    assert steps(alone, had) == ()
    assert steps(alone, changed, finish=True) == (own,)
    assert steps(left(BOUND)._replace(nodes=(own,)), changed) == (own,)


def test_nodes_that_had_not_the_same_are_named() -> None:
    """No step gives each its own; nobody is left to wonder."""
    had = (NodeMode("/dev/vfio/1", 0, 0, 0o600), NodeMode("/dev/vfio/devices/vfio0", 0, 5, 0o660))
    unfinished = left()._replace(nodes=(NODE._replace(before=had),))

    plan = recover(standing("65:00.0", VFIO), unfinished)

    assert plan.steps == ()
    assert [(one.check, one.severity) for one in plan.findings] == [("journal", Severity.WARN)]
    assert "/dev/vfio/1 0:0 0600, /dev/vfio/devices/vfio0 0:5 0660" in plan.findings[0].message


def test_modules_are_loaded_again() -> None:
    """It may be the very crash that unloaded them."""
    catalog = CATALOG._replace(registered=frozenset(), loaded=())
    host = make_host(standing("65:00.0", Binding(None, None)))

    plan = plan_recover(host, catalog, left(BOUND), NOW, finish=False)

    assert plan.modules == (LoadModule("nvme"),)


@given(data=st.data(), planner=st.sampled_from([plan_bind, plan_unbind]))
def test_from_every_step_back_or_on(data: st.DataObject, planner: type) -> None:
    """A crash after any step of any plan: recover leads to the beginning, or with --finish to the end."""
    host: Host = data.draw(hosts())
    plan: Plan = planner(host, CATALOG, NOWHERE, data.draw(requests(host)))
    steps = plan.steps[: data.draw(st.integers(0, len(plan.steps)))]
    now = play(bindings(host), steps)
    crashed = host._replace(
        devices=tuple(
            one._replace(driver=now[one.address].driver, driver_override=now[one.address].override)
            for one in host.devices
        )
    )
    unfinished = Unfinished(plan.command, "this-boot", 1, "", tuple(unit.moves for unit in plan.units))
    finish = data.draw(st.booleans())

    recovery = plan_recover(crashed, CATALOG, unfinished, NOW, finish=finish)

    reached = play(bindings(crashed), recovery.steps)
    assert reached == bindings(foresee(crashed, recovery))
    ends = [
        {move.address: move.before for move in plan.moves},
        {move.address: move.goal for move in plan.moves},
    ]
    wanted = ends[1:] if finish else ends
    assert {address: reached[address] for address in ends[0]} in wanted
