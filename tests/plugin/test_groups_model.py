"""Random lives of pods, kubelets, plugins and devices on hosts with shared groups: what must hold does."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from tests.plugin.world import HOSTS, World

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = int(os.environ.get("VFIOCTL_MODEL_SEED", "7"))
STEPS = int(os.environ.get("VFIOCTL_MODEL_STEPS", "10000"))
PARTS = 4
"""Each part takes a share of the steps, so that several processes can; no two have a seed in common."""

_PAUSE = st.sampled_from([0.0, 0.0, 0.1, 1.0, 2.9, 3.1])
_TIMES = st.sampled_from([0.2, 2.0, 3.0, 5.0, 11.0, 61.0])


class GroupsMachine(RuleBasedStateMachine):
    """One host's life."""

    steps = 0

    def __init__(self) -> None:
        """Make a place for the file."""
        super().__init__()
        self.folder = tempfile.mkdtemp()

    @initialize(name=st.sampled_from(sorted(HOSTS)), number=st.integers(0, 1000), streams=st.booleans())
    def begin(self, name: str, number: int, streams: bool) -> None:
        """Start on one of the hosts, with a kubelet that streams its pods or does not."""
        random = Random(number)  # noqa: S311 - an order that can be had again
        self.world = World(name, self.folder, random, streams=streams)

    @rule(gpu=st.integers(0, 2), audio=st.integers(0, 2), pauses=st.lists(_PAUSE, min_size=2, max_size=2))
    def allocate(self, gpu: int, audio: int, pauses: list[float]) -> None:
        """Have a pod admitted, or rejected."""
        wants = {name: count for name, count in (("v.io/gpu", gpu), ("v.io/audio", audio)) if count}
        self.world.admit(wants, pauses)

    @rule()
    def list_arrives(self) -> None:
        """Let the kubelet hear what was published."""
        self.world.deliver()

    @rule(seconds=_TIMES, arrives=st.booleans())
    def time_passes(self, seconds: float, arrives: bool) -> None:
        """Let the plugin ask meanwhile, as often as it does."""
        self.world.pass_time(seconds)
        if arrives:
            self.world.deliver()

    @precondition(lambda self: self.world.living())
    @rule(data=st.data(), leaking=st.booleans())
    def pod_ends(self, data: st.DataObject, leaking: bool) -> None:
        """End a pod; a process of it may outlive it."""
        self.world.end(data.draw(st.sampled_from(self.world.living())), leaking=leaking)

    @precondition(lambda self: self.world.held)
    @rule(data=st.data())
    def pod_opens(self, data: st.DataObject) -> None:
        """QEMU begins."""
        held = data.draw(st.sampled_from(self.world.held))
        if self.world.pods[held.pod]:
            self.world.open_group(held.pod, held.group)

    @rule(data=st.data())
    def stranger_opens(self, data: st.DataObject) -> None:
        """Somebody starts a VM by hand."""
        group = data.draw(st.sampled_from(sorted(set(self.world.groups.values()))))
        if not any(held.group == group for held in self.world.held):
            self.world.open_group(None, group)
            self.world.poll()

    @precondition(lambda self: self.world.open)
    @rule(data=st.data())
    def process_ends(self, data: st.DataObject) -> None:
        """Whoever it is."""
        self.world.close_group(data.draw(st.sampled_from(sorted(self.world.open))))

    @rule(knows=st.sampled_from([0.0, 0.0, 4.0, 20.0, 40.0]))
    def kubelet_restarts(self, knows: float) -> None:
        """Have a kubelet that may not know its pods for a while."""
        self.world.amnesia = self.world.now + knows
        self.world.plugin.keeper.returned()
        self.world.publish()
        self.world.deliver()

    @rule()
    def plugin_is_killed(self) -> None:
        """At any moment: whoever owned something owns it afterwards."""
        before = self.world.owned()
        knows = self.world.now >= self.world.amnesia
        self.world.poll()
        polled = self.world.owned()
        self.world.start()
        self.world.poll()
        if knows and before == polled:
            after = self.world.owned()
            assert after == before, after ^ before

    @rule(data=st.data(), device=st.sampled_from(["unbind", "bind", "unplug", "plug"]))
    def device_changes(self, data: st.DataObject, device: str) -> None:
        """Take a driver or the whole device away, or give it back."""
        world = self.world
        name = data.draw(st.sampled_from(sorted(world.groups)))
        if world.groups[name] in world.open and device == "unbind":
            return  # The kernel keeps it until the holder lets go (K33).
        {
            "unbind": world.with_host.add,
            "bind": world.with_host.discard,
            "unplug": world.absent.add,
            "plug": world.absent.discard,
        }[device](name)
        world.look()

    @rule(chosen=st.integers(0, 2))
    def configuration_changes(self, chosen: int) -> None:
        """Another mode for all."""
        self.world.reload(chosen)

    @invariant()
    def holds(self) -> None:
        """Hold (a), (b) and (d)."""
        GroupsMachine.steps += 1
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        """Hold (c) and (e)."""
        if hasattr(self, "world"):
            self.world.finish()
        shutil.rmtree(self.folder)


@pytest.fixture
def counted() -> Iterator[None]:
    """Count the steps of this run alone."""
    GroupsMachine.steps = 0
    yield
    print(f"{GroupsMachine.steps} steps")


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("part", range(PARTS))
def test_who_owns_a_group_is_never_in_doubt(part: int) -> None:
    """Invariants (a) to (e): see `tests.plugin.world.World.check` and `finish`."""
    checked = settings(
        max_examples=60,
        stateful_step_count=50,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    # How many steps an example has is drawn too.
    for number in itertools.count(SEED + part, PARTS):
        print(f"VFIOCTL_MODEL_SEED={number}")
        run_machine(seed(number)(GroupsMachine), settings=checked)
        if GroupsMachine.steps * PARTS >= STEPS:
            break
