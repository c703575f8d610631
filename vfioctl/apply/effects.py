"""What a step means to the kernel: the commands of each, and whether the effect is there afterwards."""

from __future__ import annotations

from errno import EAGAIN, EBUSY, ECHILD, ENODEV, ENOENT

from vfioctl.apply.lanes import Pause, Within
from vfioctl.apply.port import (
    AwaitNodes,
    Batch,
    Look,
    Modprobe,
    ReadLink,
    ReadOwner,
    ReadText,
    SetOwner,
    Settle,
    Write,
)
from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.value import NamedTuple
from vfioctl.plan.outcome import Status, StepOutcome
from vfioctl.plan.steps import (
    AwaitVfs,
    BindDriver,
    CreateMdev,
    LoadModule,
    OwnNode,
    ProbeDrivers,
    RemoveMdev,
    SetAutoprobe,
    SetOverride,
    SetVfs,
    UnbindDriver,
)
from vfioctl.sysfs import root as paths
from vfioctl.typed import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.apply.lanes import Script
    from vfioctl.apply.port import Answer, Single
    from vfioctl.model.address import PciAddress
    from vfioctl.plan.steps import Step

UNSET = "(null)"
"""What ``driver_override`` reads when there is none (K7)."""
_MODULES = "/sys/module"
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


class Owned(NamedTuple):
    """A node as it was before it was given to somebody."""

    step: OwnNode
    path: str
    before: str
    """Owner, group and mode, as :class:`vfioctl.apply.port.ReadOwner` answers."""


def perform(step: Step, timeout: float, owned: list[Owned], hurry: Callable[[], bool]) -> Script[StepOutcome]:
    """Carry out a step and read its effect back; each write has the timeout, in seconds.

    What nodes were before is appended to ``owned``. ``hurry`` is asked before a write is tried once more.

    Raises:
        OverdueError: a write has not come back.

    """
    yield Within(timeout)
    match step:
        case LoadModule():
            script = _load(step)
        case SetOverride():
            script = _override(step)
        case UnbindDriver():
            script = _unbind(step)
        case BindDriver():
            script = _bind(step, timeout, hurry)
        case ProbeDrivers():
            script = _probe(step, timeout, hurry)
        case OwnNode():
            script = _own(step, timeout, owned)
        case SetAutoprobe() | SetVfs():
            script = _set(step)
        case CreateMdev() | RemoveMdev():
            script = _mediate(step)
        case AwaitVfs():
            script = _await_vfs(step, timeout, hurry)
        case _:
            assert_never(step)
    return (yield from script)


def driver_link(address: PciAddress) -> ReadLink:
    """Return the command that reads which driver a device has."""
    return ReadLink(f"{paths.PCI_DEVICES}/{address}/driver")


def override_text(address: PciAddress) -> ReadText:
    """Return the command that reads a device's override, which may block (K55)."""
    return ReadText(f"{paths.PCI_DEVICES}/{address}/driver_override")


def _failed(step: Step, answer: Answer) -> StepOutcome:
    # A writer that is gone has no errno of the kernel's to tell.
    if answer.errno == ECHILD:
        return StepOutcome(step, Status.FAILED, seen=answer.text)
    return StepOutcome(step, Status.FAILED, answer.errno)


def _differs(step: Step, seen: str | None) -> StepOutcome:
    return StepOutcome(step, Status.FAILED, seen=seen or "no driver")


def _load(step: LoadModule) -> Script[StepOutcome]:
    answer = yield Modprobe(step.module)
    if answer.errno is not None:
        return StepOutcome(step, Status.FAILED, seen=answer.text)
    # An install line of modprobe.d can make modprobe say yes to nothing.
    there = yield Look(f"{_MODULES}/{step.module}")
    if there.errno is not None:
        seen = f"modprobe said yes, but there is no {_MODULES}/{step.module}"
        return StepOutcome(step, Status.FAILED, seen=seen)
    return StepOutcome(step, Status.DONE)


def _override(step: SetOverride) -> Script[StepOutcome]:
    answer, found = yield from _write_and_look(step, override_text(step.address))
    if answer.errno is not None:
        return _failed(step, answer)
    if found.errno is not None:
        return _failed(step, found)
    wanted = UNSET if step.override is None else step.override
    return StepOutcome(step, Status.DONE) if found.text == wanted else _differs(step, found.text)


def _write_and_look(
    step: SetOverride | UnbindDriver | BindDriver | ProbeDrivers, look: Single
) -> Script[tuple[Answer, Answer]]:
    """Write, and read the effect back, in one go; where that went wrong as a whole, both say so."""
    answer = yield Batch((Write(step.path, step.value), look))
    return (answer.parts[0], answer.parts[1]) if answer.parts else (answer, answer)


def _write_and_see_driver(step: UnbindDriver | BindDriver | ProbeDrivers) -> Script[tuple[Answer, Answer]]:
    """Write, and read which driver the device has then; the text is empty where it has none."""
    answer, found = yield from _write_and_look(step, driver_link(step.address))
    return answer, found._replace(errno=None, text="") if found.errno == ENOENT else found


def _unbind(step: UnbindDriver) -> Script[StepOutcome]:
    answer, found = yield from _write_and_see_driver(step)
    if answer.errno not in {None, ENODEV, ENOENT}:
        return _failed(step, answer)
    if found.errno is not None:
        return _failed(step, found)
    if found.text:
        return _differs(step, found.text) if answer.errno is None else _failed(step, answer)
    # ENODEV: it was not on this driver (K3); ENOENT: there is no such driver any more. It has none now.
    return StepOutcome(step, Status.DONE if answer.errno is None else Status.ALREADY)


def _bind(step: BindDriver, timeout: float, hurry: Callable[[], bool]) -> Script[StepOutcome]:
    answer, found = yield from _write_patiently(step, timeout, hurry)
    if answer.errno not in {None, EBUSY, EAGAIN}:
        return _failed(step, answer)
    if found.errno is not None:
        return _failed(step, found)
    if found.text == step.driver:
        # EBUSY: a module that was loaded has taken it by itself (K10); EAGAIN: the deferred probe has run.
        return StepOutcome(step, Status.ALREADY if answer.errno == EBUSY else Status.DONE)
    return _failed(step, answer) if answer.errno is not None else _differs(step, found.text)


def _probe(step: ProbeDrivers, timeout: float, hurry: Callable[[], bool]) -> Script[StepOutcome]:
    answer, found = yield from _write_patiently(step, timeout, hurry)
    if answer.errno is not None:
        return _failed(step, answer)
    if found.errno is not None:
        return _failed(step, found)
    # That none was found is an answer too (K4). VFIO's it cannot be, but by an id that somebody added (K11).
    return _differs(step, found.text) if is_vfio_driver(found.text) else StepOutcome(step, Status.DONE)


def _write_patiently(
    step: BindDriver | ProbeDrivers, timeout: float, hurry: Callable[[], bool]
) -> Script[tuple[Answer, Answer]]:
    """Write, and again while the driver defers its probe (K2), for as long as the timeout; see the driver."""
    waited, pause = 0.0, _FIRST_PAUSE
    while True:
        yield Within(timeout)
        answer, found = yield from _write_and_see_driver(step)
        if answer.errno != EAGAIN or waited + pause > timeout or hurry():
            return answer, found
        yield Pause(pause)
        waited, pause = waited + pause, min(pause * 2, _LONGEST_PAUSE)


def _set(step: SetAutoprobe | SetVfs) -> Script[StepOutcome]:
    answer = yield Write(step.path, step.value)
    if answer.errno is not None:
        return _failed(step, answer)
    # Fewer virtual functions than asked for are a success to the kernel (K38).
    found = yield ReadText(step.path)
    if found.errno is not None:
        return _failed(step, found)
    if found.text != step.value:
        return StepOutcome(step, Status.FAILED, seen=found.text or "nothing")
    return StepOutcome(step, Status.DONE)


def _mediate(step: CreateMdev | RemoveMdev) -> Script[StepOutcome]:
    answer = yield Write(step.path, step.value)
    if answer.errno is not None:
        return _failed(step, answer)
    found = yield Look(step.folder)
    if found.errno not in {None, ENOENT}:
        return _failed(step, found)
    there = found.errno is None
    if there is not isinstance(step, CreateMdev):
        return StepOutcome(step, Status.FAILED, seen="it is there" if there else "it is not there")
    return StepOutcome(step, Status.DONE)


def _await_vfs(step: AwaitVfs, timeout: float, hurry: Callable[[], bool]) -> Script[StepOutcome]:
    waited, pause = 0.0, _FIRST_PAUSE
    while True:
        yield Within(timeout)
        found = yield Look(step.path)
        if found.errno is None:
            break
        if found.errno != ENOENT or waited + pause > timeout or hurry():
            return _failed(step, found)
        yield Pause(pause)
        waited, pause = waited + pause, min(pause * 2, _LONGEST_PAUSE)
    # A module that udev loads for them later takes what it finds, once probing is on again.
    yield Within(timeout)
    settled = yield Settle(timeout / 2)
    return StepOutcome(step, Status.DONE) if settled.errno is None else _failed(step, settled)


def _own(step: OwnNode, timeout: float, owned: list[Owned]) -> Script[StepOutcome]:
    # Half of the time for the nodes to come, so that the rest has some.
    nodes = yield AwaitNodes(step.group, tuple(map(str, step.members)), timeout / 2)
    if nodes.errno is not None:
        return _failed(step, nodes)
    for path in nodes.text.split("\n"):
        before = yield ReadOwner(path)
        answer = before
        if before.errno is None:
            owned.append(Owned(step, path, before.text))
            answer = yield SetOwner(path, step.uid, step.gid, step.mode)
        if answer.errno is not None:
            return _failed(step, answer)
        after = yield ReadOwner(path)
        if after.text != _wanted(step, before.text):
            return StepOutcome(step, Status.FAILED, after.errno, after.text)
    return StepOutcome(step, Status.DONE)


def _wanted(step: OwnNode, before: str) -> str:
    uid, gid, mode = before.split(" ")
    return " ".join(
        (
            uid if step.uid is None else str(step.uid),
            gid if step.gid is None else str(step.gid),
            mode if step.mode is None else f"{step.mode:04o}",
        )
    )


def give_back(owned: Owned) -> Script[Answer]:
    """Give a node back what it had, where it still stands.

    Raises:
        OverdueError: it has not come back.

    """
    uid, gid, mode = owned.before.split(" ")
    return (yield SetOwner(owned.path, int(uid), int(gid), int(mode, 8)))
