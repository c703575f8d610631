"""From moves to steps: each step must be one that the kernel takes, in an order that does no harm."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.factory import at
from tests.plan.kernel_rules import RefusedByKernelError, play
from vfioctl.model.binding import Binding, Move
from vfioctl.model.ids import is_vfio_driver
from vfioctl.plan.steps import BindDriver, ProbeDrivers, SetOverride, UnbindDriver
from vfioctl.plan.transition import transition

if TYPE_CHECKING:
    from vfioctl.plan.steps import Step

UHCI, EHCI = at("00:1d.0"), at("00:1d.7")
GPU, SOUND = at("01:00.0"), at("01:00.1")
VFIO = Binding("vfio-pci", "vfio-pci")

ADDRESSES = [UHCI, at("00:1d.1"), EHCI, GPU, SOUND, at("10000:e1:00.0")]
DRIVERS = st.sampled_from([None, "nvme", "ehci-pci", "vfio-pci", "mlx5_vfio_pci"])
BINDINGS = st.builds(Binding, DRIVERS, st.sampled_from([None, "none", "nvme", "vfio-pci", "mlx5_vfio_pci"]))


@st.composite
def moves(draw: st.DrawFn) -> list[Move]:
    """Return moves between any states that a device can be found in."""
    addresses = draw(st.lists(st.sampled_from(ADDRESSES), min_size=1, unique=True))
    return [Move(address, draw(BINDINGS), draw(BINDINGS)) for address in addresses]


def phase(step: Step) -> int:
    """Return which phase a step belongs to."""
    order = (SetOverride, UnbindDriver, BindDriver | ProbeDrivers)
    return next(index for index, kind in enumerate(order) if isinstance(step, kind))


@given(asked=moves())
def test_every_state_is_reached_from_every_other(asked: list[Move]) -> None:
    """By steps that the kernel takes one by one: also where an override stood that names another driver."""
    before = {move.address: move.before for move in asked}

    reached = play(before, transition(asked))

    assert reached == {move.address: move.goal for move in asked}


@given(asked=moves(), data=st.data())
def test_the_way_back_exists_from_every_step(asked: list[Move], data: st.DataObject) -> None:
    """A rollback after any number of steps is again a transition."""
    before = {move.address: move.before for move in asked}
    steps = transition(asked)
    broken_off = play(before, steps[: data.draw(st.integers(0, len(steps)))])

    back = transition([Move(one, broken_off[one], before[one]) for one in before])

    assert play(broken_off, back) == before


@given(asked=moves())
def test_overrides_then_unbinds_then_binds(asked: list[Move]) -> None:
    """All of a unit is driverless before the first is bound (K60); only a stale override comes back after."""
    steps = list(transition(asked))
    late = {
        move.address
        for move in asked
        if move.goal.override != move.goal.driver
        and (move.goal.override is not None or is_vfio_driver(move.goal.driver))
    }

    while steps and isinstance(steps[-1], SetOverride) and steps[-1].address in late:
        steps.pop()

    assert [phase(step) for step in steps] == sorted(phase(step) for step in steps)


@given(asked=moves())
def test_consumers_leave_first_and_come_last(asked: list[Move]) -> None:
    """Sound before its GPU, EHCI before UHCI; and the other way round."""
    steps = transition(asked)

    unbound = [step.address for step in steps if isinstance(step, UnbindDriver)]
    bound = [step.address for step in steps if isinstance(step, BindDriver)]
    assert all(first > second for first, second in pairwise(unbound))
    assert all(first < second for first, second in pairwise(bound))


@given(asked=moves())
def test_what_is_there_already_is_not_touched(asked: list[Move]) -> None:
    """No step for a device at its goal, and none without an effect."""
    arrived = [move._replace(goal=move.before) for move in asked]

    assert transition(arrived) == ()
    assert len(set(transition(asked))) == len(transition(asked))


def test_a_bind_of_two_functions_spelled_out() -> None:
    """The order of the contract."""
    steps = transition(
        [Move(SOUND, Binding("snd_hda_intel", None), VFIO), Move(GPU, Binding("nvidia", None), VFIO)]
    )

    assert steps == (
        SetOverride(GPU, "vfio-pci"),
        SetOverride(SOUND, "vfio-pci"),
        UnbindDriver(SOUND, "snd_hda_intel"),
        UnbindDriver(GPU, "nvidia"),
        BindDriver(GPU, "vfio-pci"),
        BindDriver(SOUND, "vfio-pci"),
    )


def test_where_the_kernel_decides_it_is_asked_once_all_are_without_a_driver() -> None:
    """drivers_probe, since there is no driver whose bind could be written to (K4, K12)."""
    free = Binding(None, None)
    steps = transition(
        [Move(UHCI, VFIO, free, kernel_decides=True), Move(EHCI, VFIO, Binding("ehci-pci", None))]
    )

    assert steps == (
        SetOverride(UHCI, None),
        SetOverride(EHCI, None),
        UnbindDriver(EHCI, "vfio-pci"),
        UnbindDriver(UHCI, "vfio-pci"),
        ProbeDrivers(UHCI),
        BindDriver(EHCI, "ehci-pci"),
    )


def test_the_rules_refuse_what_the_kernel_refuses() -> None:
    """What the properties are measured by is not indulgent."""
    for before, step in (
        (Binding("nvme", None), BindDriver(GPU, "nvme")),
        (Binding(None, None), BindDriver(GPU, "vfio-pci")),
        (Binding(None, "none"), BindDriver(GPU, "nvme")),
        (Binding("nvme", None), UnbindDriver(GPU, "vfio-pci")),
    ):
        with pytest.raises(RefusedByKernelError):
            play({GPU: before}, [step])
