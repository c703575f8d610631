"""Why a mediated device could not be made or removed, by errno (K53)."""

from __future__ import annotations

import errno

from vfioctl.plan.reluctance import Cause
from vfioctl.plan.steps import CreateMdev
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.plan.outcome import StepOutcome
    from vfioctl.plan.steps import MdevStep


def tried(step: MdevStep) -> str:
    """Say what a step was to do."""
    if isinstance(step, CreateMdev):
        return f"{step.address}: making {step.uuid} of type {step.type_id}"
    return f"{step.address}: removing {step.uuid}"


def of_mdev(step: MdevStep, outcome: StepOutcome) -> Iterator[Cause]:
    """Yield why a step may have failed; none where the errno says nothing special."""
    if not isinstance(step, CreateMdev):
        yield from _of_removal(outcome)
        return
    types = f"see what is left: vfioctl mdev types {step.address}"
    match outcome.errno:
        case errno.EUSERS | errno.ENOSPC:
            yield Cause("no more of this type can be made: they are used up, or what they need is", types)
        case errno.EEXIST:
            yield Cause("there is one with this UUID", "take another one, or none: one is made up then")
        case errno.ENOENT | errno.ENODEV:
            yield Cause("the type is not there any more: the driver of the parent has changed", types)
        case errno.EINVAL:
            yield Cause("the driver of the parent takes no such device now", types)
        case None:
            yield Cause("the driver of the parent said yes and made none", types)
        case _:
            return


def _of_removal(outcome: StepOutcome) -> Iterator[Cause]:
    match outcome.errno:
        case errno.EBUSY | errno.EAGAIN:
            text = "something has it open, or somebody else is removing it"
            yield Cause(text, "see: vfioctl mdev list; then end the program that has it")
        case errno.ENOENT | errno.ENODEV:
            yield Cause("it is gone already", "see what there is: vfioctl mdev list")
        case None:
            yield Cause(
                "something has made it anew at once: mdevctl or a udev rule", "see: mdevctl list --defined"
            )
        case _:
            return
