"""Plans typed in by hand, for the workstation of `tests.render.machines`, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.render.machines import address
from vfioctl.model.binding import Binding, Move
from vfioctl.plan.outcome import DeviceState, Report, Result, Status, StepOutcome
from vfioctl.plan.plan import Finding, Plan, Severity, Unit
from vfioctl.plan.steps import BindDriver, LoadModule, OwnNode, ProbeDrivers, SetOverride, UnbindDriver

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress

GPU, SOUND, IDLE = address("01:00.0"), address("01:00.1"), address("04:00.0")
VFIO = Binding("vfio-pci", "vfio-pci")

DISPLAY = Finding(
    "console", Severity.REFUSE, GPU, "it is the display the firmware started on (boot VGA)", "use another one"
)


def bind_plan(*findings: Finding) -> Plan:
    """Return the plan that binds the GPU with its sound."""
    moves = (
        Move(GPU, Binding("nvidia", None), VFIO),
        Move(SOUND, Binding("snd_hda_intel", None), VFIO),
    )
    steps = (
        SetOverride(GPU, "vfio-pci"),
        SetOverride(SOUND, "vfio-pci"),
        UnbindDriver(SOUND, "snd_hda_intel"),
        UnbindDriver(GPU, "nvidia"),
        BindDriver(GPU, "vfio-pci"),
        BindDriver(SOUND, "vfio-pci"),
        OwnNode(0, (GPU, SOUND), 0, None, 0o660),
    )
    return Plan("bind", (GPU,), (GPU, SOUND), (LoadModule("vfio_pci"),), (Unit(moves, steps),), findings)


def unbind_plan() -> Plan:
    """Return the plan that gives the idle disk back to whichever driver the kernel chooses."""
    move = Move(IDLE, VFIO, Binding(None, None), kernel_decides=True)
    steps = (SetOverride(IDLE, None), UnbindDriver(IDLE, "vfio-pci"), ProbeDrivers(IDLE))
    return Plan("unbind", (IDLE,), (IDLE,), (), (Unit((move,), steps),))


def done(plan: Plan, *drivers: str | None) -> Report:
    """Return the report of a plan that was carried out, with the drivers its devices then had."""
    states = tuple(
        DeviceState(move.address, Binding(driver, move.goal.override))
        for move, driver in zip(plan.moves, drivers, strict=True)
    )
    return Report(plan, tuple(StepOutcome(step, Status.DONE) for step in plan.steps), Result.DONE, states)


def failed_at(plan: Plan, number: int, result: Result, states: dict[PciAddress, DeviceState]) -> Report:
    """Return the report of a plan whose step of this number failed or was stuck."""
    status = Status.STUCK if result is Result.STUCK else Status.FAILED
    outcomes = [
        StepOutcome(step, Status.UNDONE if index < number else Status.SKIPPED)
        for index, step in enumerate(plan.steps)
    ]
    errno = None if result is Result.STUCK else 16
    outcomes[number] = StepOutcome(plan.steps[number], status, errno)
    shown = tuple(states.get(move.address) or DeviceState(move.address, move.before) for move in plan.moves)
    return Report(plan, tuple(outcomes), result, shown)
