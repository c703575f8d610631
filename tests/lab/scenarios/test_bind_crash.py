"""kill -9 at every point of a run: afterwards `recover` leaves the host as before or as after."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.lab.guest import bindings, channel, effects, kernel

if TYPE_CHECKING:
    from collections.abc import Callable

ASKED = {
    "workstation": ("0000:00:1a.0", "--owner", "nobody", "--mode", "0660"),
    "server": ("0000:42:00", "0000:01:00.0", "0000:06:00.0"),
}
"""Three functions in one unit, with a node; and four functions in three units that move side by side."""
TOUCHED = {
    "workstation": ("0000:00:1a.0", "0000:00:1a.1", "0000:00:1a.7"),
    "server": ("0000:01:00.0", "0000:06:00.0", "0000:42:00.0", "0000:42:00.1"),
}
STEPS = 8
"""A plan of fewer steps would prove little."""
NOTE = "pwrite /run/vfioctl/writers"
"""Which step begins, or that none is under way any more."""
TWICE = 4
"""After every so many crashes, recover is run once more: it finds nothing to do."""

pytestmark = [pytest.mark.topologies(*ASKED), pytest.mark.deadline(400)]

Bindings = dict[str, bindings.Bound]


class Row(NamedTuple):
    """One crash and what came of it."""

    command: str
    mode: str
    number: int
    what: str
    crashed: str
    recovered: int
    final: str
    seconds: float


def die(effect: effects.Effect) -> None:
    """End the whole run."""
    effects.kill(*effects.all_of(effect))


def die_alone(effect: effects.Effect) -> None:
    """End the process that has just written."""
    effects.kill(effect.pid)


def lose_others(effect: effects.Effect) -> None:
    """End the whole run but for the process that is about to write."""
    effects.kill(*effects.all_of(effect) - {effect.pid})


def lose_tool(effect: effects.Effect) -> None:
    """End the tool; the processes in which it writes go on with what they were told."""
    effects.kill(effect.tool)


class Mode(NamedTuple):
    """How a run is killed at an effect: what is done before it and after it."""

    before: Callable[[effects.Effect], None]
    after: Callable[[effects.Effect], None] | None = None


MODES = {
    # Before an effect is after the one before it.
    "before": Mode(die),
    # Nothing ends a process within a write to sysfs: the kernel gets through, then it is dead. So the others
    # die before the write, and the writing process before it can do anything else.
    "inside": Mode(lose_others, die_alone),
    "tool alone": Mode(lose_tool),
}
"""The last two mean something only where the kernel is told something."""


def place(now: Bindings, before: Bindings, after: Bindings) -> str:
    """Say in a word where the devices stand."""
    return "before" if now == before else "after" if now == after else "between"


def crash(
    command: tuple[str, ...], mode: str, target: effects.Effect, before: Bindings, after: Bindings
) -> Row:
    """Kill a run at one of its effects, and recover."""

    def is_target(effect: effects.Effect) -> bool:
        # Units move side by side, so that a number alone does not say which step it is.
        return effect.number == target.number if mode == "before" else effect.step == target.step != 0

    def only_there(action: Callable[[effects.Effect], None] | None, effect: effects.Effect) -> None:
        if action and is_target(effect):
            action(effect)

    how = MODES[mode]
    run = effects.run(*command, before=partial(only_there, how.before), after=partial(only_there, how.after))
    assert run.exit_code == -9 or (mode == "before" and target.number > len(run.effects)), (mode, target, run)
    crashed = "?"
    if mode != "tool alone":  # there, recover meets the writing process still at work
        effects.reap()
        crashed = place(bindings.bindings(before), before, after)
    recovered = effects.run("recover")
    effects.reap()
    assert not bindings.JOURNAL.exists(), (mode, target, recovered)
    final = place(bindings.bindings(before), before, after)
    if target.number % TWICE == 0:
        assert effects.run("recover").exit_code == 0, (mode, target)
        assert place(bindings.bindings(before), before, after) == final
    what = next((effect.what for effect in run.effects if is_target(effect)), "after the last one")
    return Row(command[0], mode, target.number, what, crashed, recovered.exit_code, final, run.seconds)


def state_files(run: effects.Run) -> list[effects.Effect]:
    """Give the effects of a run that are about its state files.

    A new process by itself leaves nothing behind: dead before it is dead after the effect before it. That a step
    has ended, and that the next one begins, is noted in the same way around each: once is enough.
    """
    files = [effect for effect in run.effects if not effect.step and effect.what != "fork"]
    notes = [effect for effect in files if effect.what == NOTE]
    return [effect for effect in files if effect not in notes[2:]]


def table(rows: list[Row]) -> str:
    """Give the rows as text, with the count of each outcome at the end."""
    lines = [
        f"{row.command:7} {row.mode:10} {row.number:3}  "
        f"{row.crashed:8} {row.recovered:2}  {row.final:8} {row.what}"
        for row in rows
    ]
    counts = Counter((row.command, row.mode, row.final, row.recovered) for row in rows)
    lines += [f"{count:4} x {' '.join(map(str, key))}" for key, count in sorted(counts.items())]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    kernel.modprobe("vfio-pci", "vfio_iommu_type1")
    effects.prepare()


@pytest.mark.parametrize("command", ["bind", "unbind"])
def test_recover_leaves_before_or_after_from_every_point(topology, release, command):
    """Before, inside and after every step of a plan of at least eight, and around every state file.

    Around the steps only on the second kernel, and where units move side by side: the state files are the same
    there, and no kernel has a part in them.
    """
    if topology.name == "server" and (release, command) != ("6.12", "bind"):
        pytest.skip("units that move side by side: one command on one kernel")
    asked, touched = ASKED[topology.name], TOUCHED[topology.name]
    home = bindings.bindings()
    here = bindings.bindings(touched)
    bindings.done("bind", *asked)
    away = bindings.bindings(touched)
    assert len(bindings.done("unbind", *touched)["steps"]) >= STEPS
    assert bindings.bindings() == home

    def start() -> None:
        """Put the host where the command starts from."""
        now = bindings.bindings(touched)
        if command == "bind" and now != here:
            assert effects.run("unbind", *touched).exit_code == 0
        if command == "unbind" and now != away:
            assert effects.run("bind", *asked).exit_code == 0

    words = ("bind", *asked) if command == "bind" else ("unbind", *touched)
    before, after = (here, away) if command == "bind" else (away, here)
    start()
    whole = effects.run(*words)
    assert whole.exit_code == 0, whole
    steps = [effect for effect in whole.effects if effect.step]
    everywhere = (topology.name, release) == ("workstation", "6.12")
    around = sorted([*steps, *state_files(whole)]) if everywhere else steps
    rows: list[Row] = []
    try:
        for mode in MODES:
            for effect in around if mode == "before" else steps:
                start()
                rows.append(crash(words, mode, effect, before, after))
    finally:
        channel.bring_back(f"crash-{command}-{release}.txt", table(rows).encode())
    assert [row for row in rows if row.final == "between" or row.recovered != 0] == []
    assert bindings.differing(home, bindings.bindings()).keys() <= set(touched)
    if bindings.bindings() != home:
        bindings.done("unbind", *touched)
    assert bindings.bindings() == home


@pytest.mark.topologies("workstation")
@pytest.mark.kernels("6.12")
def test_recover_can_be_killed_as_well(topology):
    """At each of its own steps and state files; and --finish goes on to where the first one was to go."""
    asked, touched = ASKED[topology.name], TOUCHED[topology.name]
    here = bindings.bindings(touched)
    crashed = crash_in_the_middle(asked)
    undone = effects.run("recover")
    assert (undone.exit_code, bindings.bindings(touched)) == (0, here)
    assert any(effect.step for effect in undone.effects), crashed
    points = [effect for effect in undone.effects if "writers" not in effect.what and effect.what != "fork"]
    for point in points:
        crash_in_the_middle(asked)
        killed = effects.run("recover", before=partial(die_at, point.number))
        assert killed.exit_code == -9, (point, killed)
        effects.reap()
        again = effects.run("recover")
        assert (again.exit_code, bindings.bindings(touched)) == (0, here), (point, again)
        assert not bindings.JOURNAL.exists()
    crash_in_the_middle(asked)
    finished = effects.run("recover", "--finish")
    assert finished.exit_code == 0, finished
    expected = dict.fromkeys(touched, bindings.Bound("vfio-pci", "vfio-pci"))
    assert bindings.bindings(touched) == expected
    bindings.done("unbind", *touched)
    assert bindings.bindings(touched) == here


def die_at(number: int, effect: effects.Effect) -> None:
    """End the whole run before one of its effects."""
    if effect.number == number:
        die(effect)


def crash_in_the_middle(asked: tuple[str, ...]) -> effects.Run:
    """Kill a bind when some of its devices have been bound and some have not."""
    run = effects.run("bind", *asked, before=lambda effect: die(effect) if effect.step == STEPS else None)
    assert run.exit_code == -9, run
    effects.reap()
    assert bindings.JOURNAL.exists()
    return run
