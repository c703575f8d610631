"""Why virtual functions could not be made or removed, by errno (K37-K40)."""

from __future__ import annotations

import errno

from vfioctl.model.device import PhysicalFunction
from vfioctl.plan.reluctance import GONE, MEDDLER, Cause
from vfioctl.plan.steps import AwaitVfs, SetAutoprobe, SetVfs
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.plan.outcome import StepOutcome
    from vfioctl.plan.steps import SriovStep


def tried(step: SriovStep) -> str:
    """Say what a step of SR-IOV was to do."""
    match step:
        case SetAutoprobe():
            word = "on" if step.on else "off"
            return f"{step.address}: switching the probing of its virtual functions {word}"
        case SetVfs(number=0):
            return f"{step.address}: removing its virtual functions"
        case SetVfs():
            return f"{step.address}: making {step.number} virtual functions"
        case AwaitVfs():
            return f"{step.address}: waiting for its {step.number} virtual functions"


def of_sriov(step: SriovStep, outcome: StepOutcome, device: PciDevice | None) -> Iterator[Cause]:
    """Yield why a step of SR-IOV may have failed; none where the errno says nothing special."""
    if isinstance(step, SetVfs):
        yield from _of_number(step, outcome, device)
    elif isinstance(step, SetAutoprobe):
        if outcome.errno is None:
            yield Cause(MEDDLER, f"see who writes it: cat {step.path}")
        elif outcome.errno == errno.ENOENT:
            yield Cause(GONE, "see which there are: vfioctl scan")
    elif outcome.errno == errno.ETIMEDOUT:
        text = "udev is still at work: the driver that it loads for them would take them"
        yield Cause(text, "see what it does: ps -C udev-worker,modprobe; or give it more time: --timeout")
    else:
        text = "the kernel has made fewer than it says, or they are removed again by something else"
        yield Cause(
            text, f"see: vfioctl sriov list {step.address}; who else sets it up: systemctl, udev rules"
        )


def _of_number(step: SetVfs, outcome: StepOutcome, device: PciDevice | None) -> Iterator[Cause]:
    total = device.sriov.total_vfs if device and isinstance(device.sriov, PhysicalFunction) else None
    match outcome.errno:
        case errno.ENOENT:
            # Of all errnos the one that looks most like another thing: no file is missing (H46).
            yield _driver_cannot(step, device)
        case errno.ERANGE:
            most = f"it can have {total} at most" if total is not None else "that is more than it can have"
            yield Cause(most, f"ask for fewer; see: vfioctl sriov list {step.address}")
        case errno.EBUSY:
            text = "it has virtual functions already: their number changes by way of 0 only"
            yield Cause(text, f"remove them first: vfioctl sriov off {step.address}")
        case errno.ENOSPC:
            text = "interrupt vectors (MSI-X), bus numbers or memory space for so many are used up"
            hint = (
                "ask for fewer; or switch on SR-IOV and 'above 4G decoding' in the firmware;"
                " or boot with pci=realloc"
            )
            yield Cause(text, hint)
        case errno.EINVAL:
            yield Cause("its driver takes no such number", "ask for fewer, or see the driver's manual")
        case errno.EOPNOTSUPP | errno.EPERM:
            text = (
                "its driver forbids it in the mode it is in, or the firmware of the card has it switched off"
            )
            yield Cause(
                text, f"see: devlink dev eswitch show pci/{step.address}; the vendor's tool for the card"
            )
        case None if step.number and (outcome.seen or "").isdecimal():
            text = f"its driver has made {outcome.seen} and called that a success"
            yield Cause(text, f"ask for those: vfioctl sriov set {step.address} {outcome.seen}")
        case _:
            return


def _driver_cannot(step: SetVfs, device: PciDevice | None) -> Cause:
    driver = device.driver if device else None
    if device is None or driver is None:
        hint = f"look at it: vfioctl show {step.address}" if device is None else driver_hint(device)
        return Cause("it has no driver, and only a driver makes or removes virtual functions", hint)
    if device.on_vfio:
        text = f"{driver} makes virtual functions only where it was loaded with enable_sriov=1"
        return Cause(text, f"give it back to its own driver: vfioctl unbind {step.address}")
    return Cause(
        f"its driver {driver} cannot make virtual functions (no file is missing)",
        f"see whether the vendor's driver can: modinfo {driver}",
    )


def driver_hint(device: PciDevice) -> str:
    """Say how a device gets its own driver back."""
    if isinstance(device.sriov, PhysicalFunction) and device.sriov.virtual_functions:
        # Nothing else may move it while they stand: some drivers leave them behind (K40).
        return f"let the kernel find its own driver: echo {device.address} > /sys/bus/pci/drivers_probe"
    return f"give it to its own driver first: vfioctl unbind --driver NAME {device.address}"
