"""Every step made to fail with every errno: rolled back, or said truly where each device stands."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.lab.guest import bindings, channel, effects, kernel
from tests.lab.scenarios.test_bind_crash import ASKED, TOUCHED, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIE = 0
"""Not an errno: the kernel says yes and does nothing (K4, K8)."""
KILLED = -9
"""Nor is this: the process that writes is killed, and the tool lives."""
ERRNOS = {
    "driver_override": (errno.EINVAL, errno.EACCES, errno.EROFS, LIE),
    "unbind": (errno.ENODEV, errno.EIO, LIE),
    "bind": (errno.ENODEV, errno.EINVAL, errno.EBUSY, errno.EAGAIN, errno.EIO, LIE),
    "node": (errno.EPERM, errno.EROFS),
}
"""What each kind of write can answer (kernel.md, section 10)."""
TIMEOUT = ("--timeout", "2")

COMMANDS = {"6.12": "bind", "6.1": "unbind"}
"""What is tried on which kernel: the errno are made here, so that they are the same on both."""

pytestmark = [pytest.mark.topologies("workstation"), pytest.mark.deadline(400)]


class Row(NamedTuple):
    """One fault and what came of it."""

    command: str
    how: str
    what: str
    fault: str
    exit_code: int
    final: str
    told: bool
    """Whether the exit code, and what was printed, is true."""


def failing(number: int, fault: int, *, lasting: bool) -> Callable[[effects.Effect], None]:
    """Make the n-th thing that the kernel is told fail, or that and all later ones."""

    def fail(effect: effects.Effect) -> None:
        if effect.step == number or (lasting and effect.step > number):
            if fault == LIE:
                raise effects.Unheard
            if fault == KILLED:
                effects.kill(effect.pid)
            raise OSError(fault, os.strerror(fault))

    return fail


def kind_of(effect: effects.Effect) -> str:
    """Give the kind of step: the name of the attribute, or `node`."""
    name, _, rest = effect.what.partition(" ")
    return "node" if name in {"chown", "chmod"} else rest.split()[0].rpartition("/")[2]


def state_text(bound: bindings.Bound) -> str:
    """Say where a device stands, in vfioctl's words."""
    driver = f"on {bound.driver}" if bound.driver else "without a driver"
    override = "not set" if bound.override == bindings.NO_OVERRIDE else bound.override
    return f"{driver}, driver_override {override}"


def is_true(run: effects.Run, final: str, touched: tuple[str, ...]) -> bool:
    """Tell whether exit code and printed states are what is."""
    if run.exit_code in {0, 7}:
        return final == {0: "after", 7: "before"}[run.exit_code]
    if run.exit_code != 8:
        return False
    findings = json.loads(run.stdout)["findings"]
    told = {finding["address"]: finding["message"] for finding in findings if finding["check"] == "state"}
    return told == {address: state_text(bindings.bound(address)) for address in touched}


def faults(
    words: tuple[str, ...], touched: tuple[str, ...], before: dict, after: dict, start: Callable[[], None]
) -> Iterator[Row]:
    """Run once for each step and errno, once only and for good."""
    start()
    whole = effects.run(*words)
    assert whole.exit_code == 0, whole
    steps = [effect for effect in whole.effects if effect.step]
    for effect in steps:
        for fault in (*ERRNOS[kind_of(effect)], KILLED):
            for lasting in (False, True) if fault in {errno.EIO, errno.EROFS, LIE} else (False,):
                start()
                run = effects.run(
                    *words, *TIMEOUT, "--json", before=failing(effect.step, fault, lasting=lasting)
                )
                final = place(bindings.bindings(before), before, after)
                name = {LIE: "a lie", KILLED: "killed"}.get(fault) or errno.errorcode[fault]
                how = "for good" if lasting else "once"
                yield Row(
                    words[0], how, effect.what, name, run.exit_code, final, is_true(run, final, touched)
                )
                if bindings.JOURNAL.exists():
                    recovered = effects.run("recover")
                    assert recovered.exit_code == 0, recovered
                    assert bindings.bindings(before) in (before, after)


def test_every_step_fails_with_every_errno_and_the_answer_is_true(topology, release):
    """Exit 7 and all as before, or exit 8 and what is printed is what is; recover does the rest."""
    command = COMMANDS[release]
    kernel.modprobe("vfio-pci", "vfio_iommu_type1")
    effects.prepare()
    asked, touched = ASKED[topology.name], TOUCHED[topology.name]
    home, here = bindings.bindings(), bindings.bindings(touched)
    bindings.done("bind", *asked)
    away = bindings.bindings(touched)

    def start() -> None:
        """Put the host where the command starts from."""
        now = bindings.bindings(touched)
        if now != (here if command == "bind" else away):
            back = ("unbind", *touched) if command == "bind" else ("bind", *asked)
            assert effects.run(*back).exit_code == 0

    words = ("bind", *asked) if command == "bind" else ("unbind", *touched)
    before, after = (here, away) if command == "bind" else (away, here)
    rows: list[Row] = []
    try:
        rows.extend(faults(words, touched, before, after, start))
    finally:
        text = [
            f"{row.command:7} {row.how:8} {row.fault:7} {row.exit_code} {row.final:8} {row.what}"
            for row in rows
        ]
        counts = Counter((row.command, row.how, row.fault, row.exit_code, row.final) for row in rows)
        text += [f"{count:4} x {' '.join(map(str, key))}" for key, count in sorted(counts.items())]
        channel.bring_back(f"faults-{command}-{release}.txt", ("\n".join(text) + "\n").encode())
        if bindings.bindings(touched) != here:
            bindings.done("unbind", *touched)
    assert [row for row in rows if not row.told] == []
    assert {row.exit_code for row in rows} >= {7, 8}
    assert bindings.bindings() == home
