"""An errno at a step, in words: what happened, why (most likely first), and what to type next."""

from __future__ import annotations

import errno

from vfioctl.model.value import NamedTuple
from vfioctl.plan.causes import causes
from vfioctl.plan.mdev_causes import tried as mdev_tried
from vfioctl.plan.outcome import Status
from vfioctl.plan.splitting_causes import tried as split_tried
from vfioctl.plan.steps import (
    BindDriver,
    LoadModule,
    MdevStep,
    OwnNode,
    ProbeDrivers,
    SetOverride,
    SriovStep,
    UnbindDriver,
)
from vfioctl.typed import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from vfioctl.model.host import Host
    from vfioctl.plan.outcome import StepOutcome
    from vfioctl.plan.steps import BindingStep


class Explanation(NamedTuple):
    """Why a step did not end well."""

    what: str
    why: tuple[str, ...]
    """Possible causes, the most likely first."""
    hint: str
    """What to do about the most likely one."""


def explain(outcome: StepOutcome, host: Host) -> Explanation:
    """Explain a step that failed or is stuck, by what the host was like before."""
    found = tuple(dict.fromkeys(causes(outcome, host)))
    return Explanation(_what(outcome), tuple(cause.text for cause in found), found[0].hint)


def _what(outcome: StepOutcome) -> str:
    step = outcome.step
    if isinstance(step, SriovStep):
        tried = split_tried(step)
    elif isinstance(step, MdevStep):
        tried = mdev_tried(step)
    else:
        tried = _tried(step)
    if outcome.status is Status.STUCK:
        return f"{tried}: the kernel has not answered; the write goes on"
    if outcome.errno is not None:
        name = errno.errorcode.get(outcome.errno, str(outcome.errno))
        return f"{tried}: the kernel said no ({name})"
    seen = outcome.seen or "nothing"
    if isinstance(outcome.step, LoadModule):
        return f"{tried}: {seen}"
    return f"{tried}: the kernel said yes, but found afterwards: {seen}"


def _tried(step: BindingStep) -> str:
    match step:
        case LoadModule():
            return f"loading the module {step.module}"
        case SetOverride():
            to = f"to {step.override}" if step.override is not None else "to nothing"
            return f"{step.address}: setting driver_override {to}"
        case UnbindDriver():
            return f"{step.address}: taking it from {step.driver}"
        case BindDriver():
            return f"{step.address}: giving it to {step.driver}"
        case ProbeDrivers():
            return f"{step.address}: letting the kernel find a driver"
        case OwnNode():
            return f"{step.path}: setting owner and mode ({step.value})"
        case _:
            assert_never(step)
