"""Machines, plans for them, and ways to carry those out, as the tests of this room need them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.support.fake_kernel import Device, FakeKernel, machine
from vfioctl.apply.recovery import recover
from vfioctl.apply.settings import Settings
from vfioctl.apply.transaction import carry_out
from vfioctl.model.address import PciAddress
from vfioctl.model.binding import Binding, Move
from vfioctl.plan.plan import Plan, Unit
from vfioctl.plan.steps import LoadModule, OwnNode
from vfioctl.plan.transition import transition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vfioctl.plan.outcome import Report, StepOutcome
    from vfioctl.plan.steps import Step
    from vfioctl.plan.unfinished import Unfinished

VFIO: Final = Binding("vfio-pci", "vfio-pci")
TIMEOUT: Final = 20.0

GPU, AUDIO = "0000:01:00.0", "0000:01:00.1"
UHCI_1, UHCI_2, EHCI = "0000:00:1d.0", "0000:00:1d.1", "0000:00:1d.7"
NIC, FREE, PARKED, LATE = "0000:03:00.0", "0000:04:00.0", "0000:05:00.0", "0000:06:00.0"
UNITS: Final = ((GPU, AUDIO), (UHCI_1, UHCI_2, EHCI), (NIC,), (FREE,), (PARKED,), (LATE,))
"""What must move together on the workstation."""


def workstation() -> FakeKernel:
    """Return a machine on which vfio-pci is not loaded.

    It has a graphics card, a USB controller, a NIC, two devices without a driver, and one with an override
    for another driver than its own (K54).
    """
    devices = (
        Device(GPU, 1, ("nouveau",), "nouveau", vendor=0x10DE, device=0x2204),
        Device(AUDIO, 1, ("snd_hda_intel",), "snd_hda_intel", vendor=0x10DE, device=0x1AEF),
        Device(UHCI_1, 7, ("uhci_hcd",), "uhci_hcd", usb=True),
        Device(UHCI_2, 7, ("uhci_hcd",), "uhci_hcd", usb=True),
        Device(EHCI, 7, ("ehci-pci",), "ehci-pci", usb=True),
        Device(NIC, 9, ("e1000e",), "e1000e"),
        Device(FREE, 10, ()),
        Device(PARKED, 11, ("e1000e",), override="none"),
        Device(LATE, 12, ("nvme",), "nvme", override="vfio-pci"),
    )
    kernel = machine(devices)
    kernel.modules = {"vfio_pci": "vfio-pci", "vfio_iommu_type1": ""}
    kernel.cdev = True
    kernel.registered.discard("vfio-pci")
    return kernel


def on_vfio() -> FakeKernel:
    """Return the same machine after all of it was given to vfio-pci."""
    kernel = workstation()
    kernel.loaded |= {"vfio_pci", "vfio_iommu_type1"}
    kernel.registered.add("vfio-pci")
    for device in kernel.devices.values():
        device.driver = device.override = "vfio-pci"
    # As new_id leaves it (K11).
    kernel.devices[LATE].override = None
    kernel.make_nodes()
    return kernel


def bind_plan(kernel: FakeKernel) -> Plan:
    """Plan to give everything to vfio-pci, and the NIC's nodes to a user."""
    goals = dict.fromkeys(kernel.devices, VFIO)
    own = OwnNode(9, (_address(NIC),), 1000, None, 0o660)
    modules = (LoadModule("vfio_iommu_type1"), LoadModule("vfio_pci"))
    owned = kernel.owners.get("/dev/vfio/9") == "1000 0 0660"
    return plan_of("bind", kernel, goals, modules=modules, more={} if owned else {NIC: (own,)})


def unbind_plan(kernel: FakeKernel) -> Plan:
    """Plan to give everything back to the drivers of the workstation."""
    return plan_of("unbind", kernel, workstation().bindings)


def plan_of(
    command: str,
    kernel: FakeKernel,
    goals: Mapping[str, Binding],
    *,
    units: Sequence[Sequence[str]] = UNITS,
    modules: tuple[LoadModule, ...] = (),
    more: Mapping[str, tuple[Step, ...]] | None = None,
    kernel_decides: bool = False,
) -> Plan:
    """Plan to bring devices from where they are to these goals."""
    made = []
    for names in units:
        moves = tuple(
            Move(_address(name), kernel.devices[name].binding, goals[name], kernel_decides)
            for name in sorted(names)
            if kernel.devices[name].binding != goals[name]
        )
        steps = (*transition(moves), *((more or {}).get(names[0], ()) if names else ()))
        if steps:
            made.append(Unit(moves, steps))
    devices = tuple(_address(name) for names in units for name in names)
    return Plan(command, devices, devices, modules if made else (), tuple(made))


def recovery_plan(kernel: FakeKernel, unfinished: Unfinished, *, finish: bool = False) -> Plan:
    """Plan to undo a run unless it has reached its goal, or to finish it."""
    moves = [move for unit in unfinished.units for move in unit if kernel.devices[str(move.address)].present]
    reached = all(kernel.devices[str(move.address)].binding == move.goal for move in moves)
    goals = {str(move.address): move.goal if finish or reached else move.before for move in moves}
    units = [
        [name for move in unit if (name := str(move.address)) in goals] for unit in unfinished.units if unit
    ]
    modules = (LoadModule("vfio_pci"),) if finish and unfinished.command == "bind" else ()
    return plan_of("recover", kernel, goals, units=units, modules=modules)


def do(
    kernel: FakeKernel,
    plan: Callable[[FakeKernel], Plan],
    state: str,
    *,
    observe: Callable[[StepOutcome], None] = lambda _: None,
    lock_timeout: float = 0.0,
) -> Report:
    """Plan and carry out."""
    settings = Settings(TIMEOUT, lock_timeout, state)
    return carry_out(lambda: plan(kernel), settings, observe=observe, port=kernel)


def redo(kernel: FakeKernel, state: str, *, finish: bool = False) -> Report | None:
    """Recover."""
    settings = Settings(TIMEOUT, 0.0, state)
    return recover(
        lambda unfinished: recovery_plan(kernel, unfinished, finish=finish),
        settings,
        observe=lambda _: None,
        port=kernel,
    )


def told(report: Report) -> dict[str, Binding | None]:
    """Return what a report says of where devices stand."""
    return {str(state.address): state.binding for state in report.states}


def _address(name: str) -> PciAddress:
    return PciAddress.parse(name)
