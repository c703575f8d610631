"""How steps are taken back that move no binding: virtual functions and mediated devices."""

from __future__ import annotations

from vfioctl.plan.outcome import Status
from vfioctl.plan.steps import CreateMdev, MdevStep, RemoveMdev, SetAutoprobe, SetVfs, SriovStep
from vfioctl.typed import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.plan.outcome import StepOutcome

    Reversible = SetAutoprobe | SetVfs | CreateMdev | RemoveMdev

Apart = SriovStep | MdevStep
"""Steps that move no binding: what became of them no device's driver tells."""


def undoing(outcomes: Iterable[StepOutcome]) -> tuple[Reversible, ...]:
    """Return the steps that take back what was done of these, last first.

    What was made in part is taken back as well; what is stuck is left, with all that came before it: the
    lock it holds is the one that taking back would wait for (K56).
    """
    done: list[Reversible] = []
    for outcome in outcomes:
        step = outcome.step
        if outcome.status is Status.STUCK and isinstance(step, SetVfs | MdevStep):
            return ()
        in_part = outcome.status is Status.FAILED and outcome.seen is not None
        if not (outcome.status is Status.DONE or in_part):
            continue
        if isinstance(step, SetAutoprobe | SetVfs | CreateMdev | RemoveMdev):
            done.append(step)
    return tuple(_inverse(step) for step in reversed(done))


def _inverse(step: Reversible) -> Reversible:
    match step:
        case SetVfs(address, number, before):
            return SetVfs(address, before, number)
        case SetAutoprobe(address, on, before):
            return SetAutoprobe(address, on=before, before=on)
        case CreateMdev(address, type_id, uuid):
            return RemoveMdev(address, type_id, uuid)
        case RemoveMdev(address, type_id, uuid):
            return CreateMdev(address, type_id, uuid)
        case _:
            assert_never(step)
